package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"time"

	"github.com/coder/websocket"

	"sallyport/client"
	"sallyport/client/sallyport"
)

// exampleServer answers as the contract says, for a workspace on which sh can
// say hello, exit and sleep.
func exampleServer() *httptest.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /workspaces/build/exec", func(w http.ResponseWriter, r *http.Request) {
		var req sallyport.ExecRequest
		if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
			answerJSON(w, 400, sallyport.Errorf(sallyport.CodeInvalidJSON, "the body is no JSON"))
			return
		}
		switch script := strings.Join(req.Cmd, " "); script {
		case "echo hello":
			answerFrames(w, `{"stream":"stdout","data":"hello\n","truncated":false}`, `{"exit_code":0,"duration_ms":3}`)
		case "sh -c exit 3":
			answerFrames(w, `{"exit_code":3,"duration_ms":3}`)
		default:
			answerFrames(w, fmt.Sprintf(`{"error":"the deadline passed","code":"exec_timeout","timeout_s":%d}`, req.TimeoutS))
		}
	})
	mux.HandleFunc("GET /workspaces", func(w http.ResponseWriter, r *http.Request) {
		list := sallyport.List[sallyport.Workspace]{Items: []sallyport.Workspace{{Name: "build", Tier: 3}}, NextCursor: "2"}
		if r.URL.Query().Get("cursor") == "2" {
			list = sallyport.List[sallyport.Workspace]{Items: []sallyport.Workspace{{Name: "web", Tier: 2}}}
		}
		answerJSON(w, 200, list)
	})
	mux.HandleFunc("GET /workspaces/build/forward", exampleForward)
	return httptest.NewServer(mux)
}

// exampleForward is a target that greets whom it is told of.
func exampleForward(w http.ResponseWriter, r *http.Request) {
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{sallyport.SubprotocolForward}})
	if err != nil {
		return
	}
	defer ws.CloseNow()
	name, err := serverReads(r.Context(), ws)
	if err != nil {
		return
	}
	_ = ws.Write(r.Context(), websocket.MessageBinary, append([]byte("hello "), name...))
	_ = text(r.Context(), ws, `{"type":"eof"}`)
	_ = ws.Close(websocket.StatusNormalClosure, "")
}

func ExampleClient_Exec() {
	server := exampleServer()
	defer server.Close()
	c := client.New(server.URL, "sp_org_…")
	defer c.Close()

	done, err := c.Exec(context.Background(), client.Exec{
		Workspace: "build",
		Cmd:       []string{"echo", "hello"},
		Stdout:    os.Stdout,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("exit code", done.ExitCode)
	// Output:
	// hello
	// exit code 0
}

// A command's own failure is a result. What Sallyport could not do is an error,
// and so is an answer that does not tell how the command ended.
func ExampleClient_Exec_ends() {
	server := exampleServer()
	defer server.Close()
	c := client.New(server.URL, "sp_org_…")
	defer c.Close()

	for _, cmd := range [][]string{{"sh", "-c", "exit 3"}, {"sleep", "60"}} {
		done, err := c.Exec(context.Background(), client.Exec{Workspace: "build", Cmd: cmd, Timeout: 2 * time.Second})
		var refused *sallyport.Error
		switch {
		case errors.Is(err, client.ErrCut):
			fmt.Println("nobody knows:", err)
		case errors.As(err, &refused):
			fmt.Println("Sallyport says", refused.Code)
		case err != nil:
			fmt.Println(err)
		default:
			fmt.Println("the command says", done.ExitCode)
		}
	}
	// Output:
	// the command says 3
	// Sallyport says exec_timeout
}

func ExampleClient_ExecFrames() {
	server := exampleServer()
	defer server.Close()
	c := client.New(server.URL, "sp_org_…")
	defer c.Close()

	frames, err := c.ExecFrames(context.Background(), client.Exec{Workspace: "build", Cmd: []string{"echo", "hello"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer frames.Close()
	for {
		f, err := frames.Next()
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%s\n", frames.Line())
		if f.Result != nil || f.Err != nil {
			return
		}
	}
	// Output:
	// {"stream":"stdout","data":"hello\n","truncated":false}
	// {"exit_code":0,"duration_ms":3}
}

func ExampleClient_AllWorkspaces() {
	server := exampleServer()
	defer server.Close()
	c := client.New(server.URL, "sp_org_…")
	defer c.Close()

	for ws, err := range c.AllWorkspaces(context.Background()) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(ws.Name, ws.Tier)
	}
	// Output:
	// build 3
	// web 2
}

func ExampleClient_Forward() {
	server := exampleServer()
	defer server.Close()
	c := client.New(server.URL, "sp_org_…")
	defer c.Close()

	conn, err := c.Forward(context.Background(), "build", "127.0.0.1", 7777)
	if err != nil {
		fmt.Println(err) // a *sallyport.Error says why not
		return
	}
	defer conn.Close()
	fmt.Fprint(conn, "machine")
	if err := conn.CloseWrite(); err != nil {
		fmt.Println(err)
		return
	}
	answer, err := io.ReadAll(conn) // an end that is not the target's own is an error
	fmt.Printf("%s %v\n", answer, err)
	// Output:
	// hello machine <nil>
}

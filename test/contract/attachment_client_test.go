package contract

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"sallyport/client"
	"sallyport/client/sallyport"
	"sallyport/test/stack"
)

// What the client attaches is what it reads, lists, and deletes.
func TestClientAttachments(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	h := newHome(t, s, "a")
	c := client.New(s.URL, h.token)
	t.Cleanup(c.Close)
	a, ctx := c.Attachments(h.ws.ID), t.Context()
	made, err := a.Add(ctx, time.Hour, client.NewAttachment{Name: "a \"b\"\x1b\n.txt", Content: strings.NewReader("one")}, client.NewAttachment{Name: "c", Content: strings.NewReader("")})
	if err != nil || len(made) != 2 || made[0].ExpiresAt.Sub(made[0].CreatedAt) != time.Hour || made[0].Name != `a "b"__.txt` {
		t.Fatalf("%+v, %v", made, err)
	}
	name := h.ws.ID + "-source"
	newFile(t, s, h.ws.ID, name)
	copied, err := a.Copy(ctx, name, 0)
	if err != nil || copied.Name != name || copied.Size != int64(len("content")) {
		t.Errorf("%+v, %v", copied, err)
	}
	f, err := a.Open(ctx, made[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(f)
	if err = errors.Join(err, f.Close()); err != nil || string(content) != "one" {
		t.Errorf("%q, %v", content, err)
	}
	if got, err := a.Get(ctx, made[0].ID); err != nil || got != made[0] {
		t.Errorf("%+v, %v", got, err)
	}
	for found, err := range a.All(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Remove(ctx, found.ID); err != nil {
			t.Error(err)
		}
	}
	if list, err := a.List(ctx, client.Page{}); err != nil || len(list.Items) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
	if _, err := a.Open(ctx, made[0].ID); sallyport.CodeOf(err) != sallyport.CodeAttachmentNotFound {
		t.Error(err)
	}
	if _, err := a.Add(ctx, 0, client.NewAttachment{Name: "x", Content: io.MultiReader(strings.NewReader("x"), brokenReader{})}); !errors.Is(err, io.ErrNoProgress) {
		t.Error(err)
	}
	if list, err := a.List(ctx, client.Page{}); err != nil || len(list.Items) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
}

// brokenReader fails.
type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrNoProgress }

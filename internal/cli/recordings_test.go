package cli

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/client/sallyport"
)

// fakeRecordingID is that of the only recording.
const fakeRecordingID = "0198c9a4-bd10-7c3d-8e5f-6a7b8c9d0e1f"

const fakeCast = `{"version":2,"width":80,"height":24}
[0.500000, "o", "\u001b[1m$ "]
[0.600000, "r", "100x30"]
[3.500000, "o", "exit\r\n"]
`

// fakeRecordings knows one recording, which it lists, answers and deletes.
func fakeRecordings(w http.ResponseWriter, r *http.Request) {
	switch recording := r.PathValue("recording"); {
	case recording == "":
		fakeJSON(w, 200, sallyport.List[sallyport.Recording]{Items: []sallyport.Recording{{
			ID: fakeRecordingID, WorkspaceID: r.PathValue("id"), Actor: "org-token:sp_org_12345678", DurationMS: 61_540, Bytes: 2048,
			Cols: 80, Rows: 24, Status: sallyport.StatusOK, CreatedAt: time.Date(2026, 11, 24, 8, 1, 0, 0, time.UTC),
		}}})
	case recording != fakeRecordingID:
		fakeJSON(w, 404, sallyport.Errorf(sallyport.CodeNotFound, "there is no such recording"))
	case r.Method == http.MethodDelete:
		w.WriteHeader(http.StatusNoContent)
	default:
		w.Header().Set("Content-Type", sallyport.MediaAsciicast)
		_, _ = io.WriteString(w, fakeCast)
	}
}

func TestRecordingsCommands(t *testing.T) {
	t.Parallel()
	p := fakeProgram(t)
	got := run(t, p, "recordings", "list", "w1")
	for _, want := range []string{fakeRecordingID, "1m1.5s", "2048", "80×24", "ok", "org-token:sp_org_12345678"} {
		if got.code != 0 || !strings.Contains(got.stdout, want) {
			t.Errorf("list has no %s: %+v", want, got)
		}
	}
	if got := run(t, p, "recordings", "play", fakeRecordingID[:13]); got != (ran{0, "\x1b[1m$ exit\r\n", ""}) {
		t.Errorf("play: %+v", got)
	}
	if got := run(t, p, "recordings", "download", fakeRecordingID, "-"); got != (ran{0, fakeCast, ""}) {
		t.Errorf("download to stdout: %+v", got)
	}
	file := filepath.Join(t.TempDir(), "a.cast")
	if got := run(t, p, "recordings", "download", fakeRecordingID, file); got != (ran{0, file + "\n", ""}) {
		t.Errorf("download: %+v", got)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 || info.Size() != int64(len(fakeCast)) {
		t.Errorf("downloaded %v, %v", info, err)
	}
	if got := run(t, p, "recordings", "delete", fakeRecordingID); got != (ran{0, fakeRecordingID + " deleted\n", ""}) {
		t.Errorf("delete: %+v", got)
	}
	if got := run(t, p, "recordings", "play", "0198c9a4-0000-7000-8000-000000000000"); got.code != 1 || !strings.Contains(got.stderr, "no such recording") {
		t.Errorf("play none: %+v", got)
	}
	if got := run(t, p, "recordings", "play", "--speed", "0", fakeRecordingID); got.code != 2 {
		t.Errorf("play at no speed: %+v", got)
	}
}

// A player keeps the pace of then, faster where it is told, and cuts long pauses short.
func TestPlayerPace(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		player player
		want   time.Duration
	}{
		{player{speed: 1}, 3500 * time.Millisecond},
		{player{speed: 2}, 1750 * time.Millisecond},
		{player{speed: 2, idle: time.Second}, 750 * time.Millisecond},
		{player{speed: 1, atOnce: true}, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			var shown strings.Builder
			if err := c.player.play(t.Context(), &shown, strings.NewReader(fakeCast)); err != nil {
				t.Error(err)
			}
			if took := time.Since(began); took != c.want || shown.String() != "\x1b[1m$ exit\r\n" {
				t.Errorf("%+v: %q after %s, want %s", c.player, shown.String(), took, c.want)
			}
		})
	}
}

func TestPlayerRefusesOtherForms(t *testing.T) {
	t.Parallel()
	for _, cast := range []string{"", "{}", `{"version":1}`, "<html>", `{"version":2}` + "\n[1]", `{"version":2}` + "\nx"} {
		if err := (player{speed: 1}).play(t.Context(), io.Discard, strings.NewReader(cast)); err == nil {
			t.Errorf("%q was played", cast)
		}
	}
}

// Ctrl-C ends a player, and the terminal is put back.
func TestPlayAtTerminal(t *testing.T) {
	t.Parallel()
	who := sit(t, fakeProgram(t), "recordings", "play", "--speed", "0.01", fakeRecordingID)
	for !isRawNow(who) {
		if len(who.done) > 0 {
			t.Fatalf("ended: %+v", <-who.done)
		}
	}
	who.types("\x03")
	if got := who.isBack(); got.code != 130 {
		t.Errorf("%+v", got)
	}
}

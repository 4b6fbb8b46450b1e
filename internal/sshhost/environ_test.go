package sshhost

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// TestEnviron: of the host's own environment nothing passes but what is
// listed.
func TestEnviron(t *testing.T) {
	for _, entry := range os.Environ() { // all that is listed, and no more
		name, value, _ := strings.Cut(entry, "=")
		if passes(name) && name != "PATH" {
			t.Setenv(name, value) // to be restored
			os.Unsetenv(name)
		}
	}
	t.Setenv("SALLYPORT_CANARY", "secret")
	t.Setenv("LD_PRELOAD_CANARY", "secret")
	t.Setenv("LANGUAGE", "secret")
	t.Setenv("LC_TIME", "C.UTF-8")
	t.Setenv("LANG", "C")
	t.Setenv("TZ", "Europe/Zurich")
	b := newBench(t, func(c *Config) { c.Env = []string{"EXTRA=a=b", "TZ=UTC"} })
	session, err := b.dial(t).NewSession()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{
		"LANG": true, "LC_MESSAGES": true, "LC_": true,
		"PATH": false, "LANGUAGE": false, "LD_PRELOAD": false, "HOME": false, "TZ": false, "LC_A=B": false,
	} {
		if err := session.Setenv(name, "client"); (err == nil) != want {
			t.Errorf("env %s: %v", name, err)
		}
	}
	out, err := session.Output("cat /proc/$$/environ; :")
	if err != nil {
		t.Fatal(err)
	}
	got := slices.Sorted(slices.Values(strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")))
	want := []string{
		"EXTRA=a=b", "HOME=" + b.home, "LANG=client", "LC_=client", "LC_MESSAGES=client", "LC_TIME=C.UTF-8",
		"LOGNAME=worker", "PATH=" + os.Getenv("PATH"), "SHELL=/bin/sh", "TZ=UTC", "USER=worker",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestEnvironDefaults(t *testing.T) {
	e, err := newEnviron(account{user: "u", home: "/h", shell: "/s"}, []string{"PATH=", "SECRET=x", "malformed"}, nil)
	want := []string{"PATH=" + pathDefault, "HOME=/h", "USER=u", "LOGNAME=u", "SHELL=/s"}
	if err != nil || !slices.Equal(e.with(nil), want) {
		t.Errorf("%q, %v", e.with(nil), err)
	}
}

func TestFindAccount(t *testing.T) {
	const passwd = "root:x:0:0:root:/root:/bin/bash\n# a comment\nbroken:x:7\n:x:7:7::/:/bin/sh\n" +
		"daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\nbare:x:7:7:::\nagain:x:7:7::/other:/bin/zsh\n"
	want := map[int]account{
		0: {"root", "/root", "/bin/bash"},
		1: {"daemon", "/usr/sbin", "/usr/sbin/nologin"},
		7: {"bare", "/", "/bin/sh"},
	}
	got := map[int]account{}
	for uid := range 10 {
		if a, ok := findAccount(strings.NewReader(passwd), uid); ok {
			got[uid] = a
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

// TestOwnAccount: the defaults are this machine's own.
func TestOwnAccount(t *testing.T) {
	a, err := newAccount(Config{})
	if err != nil {
		t.Skip(err) // a uid without an account
	}
	if a.user == "" || !strings.HasPrefix(a.home, "/") || !strings.HasPrefix(a.shell, "/") {
		t.Errorf("%+v", a)
	}
}

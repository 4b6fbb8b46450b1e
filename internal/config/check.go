package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"sallyport/internal/disk"
	"sallyport/internal/keys"
	"sallyport/internal/limits"
)

// tokenFileBytesMax is more than a token of any sensible length takes.
const tokenFileBytesMax = 4 << 10

// check holds the configuration to the rules that a value alone can't break.
func (l *loading) check() error {
	for _, rule := range []func() error{
		l.checkListen, l.checkReplica, l.checkTLS, l.checkPlain, l.checkDataDir, l.checkAdminToken, l.checkSeal, l.checkTraces,
	} {
		if err := rule(); err != nil {
			return err
		}
	}
	return nil
}

// fault is key.fault for the value in force of the key name.
func (l *loading) fault(name string, err error) error {
	for _, k := range l.keys {
		if k.name == name {
			return k.fault(l.inForce[name], err)
		}
	}
	return err
}

// checkListen keeps dev on this machine; there, no host means loopback.
func (l *loading) checkListen() error {
	if l.options.Mode != ModeDev {
		return nil
	}
	if err := l.keepLocal(keyListen, &l.config.Listen); err != nil {
		return err
	}
	if l.config.MetricsListen == "" {
		return nil
	}
	return l.keepLocal(keyMetricsListen, &l.config.MetricsListen)
}

func (l *loading) keepLocal(key string, address *string) error {
	if port, ok := strings.CutPrefix(*address, ":"); ok {
		v := l.inForce[key]
		v.text = net.JoinHostPort("127.0.0.1", port)
		l.inForce[key], *address = v, v.text
	}
	if !isLoopback(*address) {
		return l.fault(key, errors.New("dev serves this machine alone: it takes a loopback address, such as 127.0.0.1:8080"))
	}
	return nil
}

// checkReplica wants both keys or neither, and keeps dev on this machine.
func (l *loading) checkReplica() error {
	listen, at := l.inForce[keyReplicaListen], l.inForce[keyReplicaURL]
	switch {
	case listen.isSet() && !at.isSet():
		return l.fault(keyReplicaListen, fmt.Errorf("it goes with %s, which is not set", keyReplicaURL))
	case at.isSet() && !listen.isSet():
		return l.fault(keyReplicaURL, fmt.Errorf("it goes with %s, which is not set", keyReplicaListen))
	case l.options.Mode == ModeDev && listen.isSet():
		return l.keepLocal(keyReplicaListen, &l.config.Replica.Listen)
	}
	return nil
}

// checkTLS wants both files or neither, and to be able to read them.
func (l *loading) checkTLS() error {
	cert, key := l.inForce[keyCertFile], l.inForce[keyKeyFile]
	switch {
	case cert.isSet() && !key.isSet():
		return l.fault(keyCertFile, fmt.Errorf("it goes with %s, which is not set", keyKeyFile))
	case key.isSet() && !cert.isSet():
		return l.fault(keyKeyFile, fmt.Errorf("it goes with %s, which is not set", keyCertFile))
	case !cert.isSet():
		return nil
	}
	for _, name := range []string{keyCertFile, keyKeyFile} {
		f, _, err := disk.Open(l.inForce[name].text)
		if err != nil {
			return l.fault(name, fmt.Errorf("the file can't be read: %w", err))
		}
		if err := f.Close(); err != nil {
			return l.fault(name, err)
		}
	}
	return nil
}

// checkPlain keeps tokens from crossing a network in the clear by oversight.
func (l *loading) checkPlain() error {
	if l.config.TLS.CertFile != "" || l.config.Insecure || isLoopback(l.config.Listen) {
		return nil
	}
	return l.fault(keyListen, errors.New("plain HTTP beyond loopback shows every token to the network: "+
		"set tls.cert_file and tls.key_file, or set insecure: true if a proxy in front ends TLS"))
}

func (l *loading) checkDataDir() error {
	switch v := l.inForce[keyDataDir]; {
	case v.isSet():
		return nil
	case v.source == sourceDefault:
		return errors.New("data_dir has no default, since neither XDG_DATA_HOME nor HOME is set: choose a directory with --data-dir")
	}
	return l.fault(keyDataDir, errors.New("it takes a directory"))
}

// checkAdminToken reads the token of admin_token_file.
func (l *loading) checkAdminToken() error {
	file := l.inForce[keyAdminTokenFile]
	if !file.isSet() {
		return nil
	}
	if token := l.inForce[keyAdminToken]; token.isSet() {
		return fmt.Errorf("%s (%s) and %s (%s) are both set: keep one", keyAdminToken, token.where(), keyAdminTokenFile, file.where())
	}
	token, err := readToken(file.text)
	if err != nil {
		return l.fault(keyAdminTokenFile, err)
	}
	hash, err := adminHash(token)
	if err != nil {
		return l.fault(keyAdminTokenFile, fmt.Errorf("the token in it: %w", err))
	}
	l.config.AdminTokenHash = &hash
	return nil
}

// checkSeal reads the file of keys.seal_file, and keeps nothing of it: the start
// reads it again.
func (l *loading) checkSeal() error {
	file := l.inForce[keySealFile]
	if !file.isSet() {
		return nil
	}
	if _, err := ReadSeal(file.text); err != nil {
		return l.fault(keySealFile, err)
	}
	return nil
}

// ReadSeal reads a seal file.
func ReadSeal(path string) (*keys.Sealer, error) {
	text, err := disk.ReadSecret(path, limits.SealFileBytesMax, disk.NotReadable)
	defer clear(text)
	if err != nil {
		return nil, err
	}
	return keys.ReadSeal(text)
}

// readToken returns the content of a file without its trailing line end.
func readToken(path string) (string, error) {
	body, err := disk.ReadSecret(path, tokenFileBytesMax, disk.NotWritable)
	return strings.TrimRight(string(body), "\r\n"), err
}

// isLoopback tells whether listening on address serves this machine alone. A
// name is not looked up: its address may change after the check.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

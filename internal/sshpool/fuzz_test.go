package sshpool_test

import (
	"context"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"sallyport/internal/limits"
	"sallyport/internal/sshpool"
)

// script is what a fuzzed machine says: the first byte is how far it behaves, then
// come packets, each behind its length. After the login, 0xfe in a number's first
// byte stands for our number of the session, so that packets find it.
func script(data []byte) (stage byte, packets [][]byte) {
	if len(data) == 0 {
		return 0, nil
	}
	stage, data = data[0]%4, data[1:]
	for len(data) > 1 && len(packets) < 64 {
		n := min(int(data[0])+1, len(data)-1)
		packets, data = append(packets, data[1:1+n]), data[1+n:]
	}
	return stage, packets
}

func play(g *rogue, data []byte) error {
	stage, packets := script(data)
	if stage == 0 {
		for _, packet := range packets {
			if _, err := g.Write(packet); err != nil {
				return err
			}
		}
		return g.Close()
	}
	id := uint32(0)
	var err error
	switch stage {
	case 1:
		err = g.greet()
	case 2:
		err = g.handshake()
	case 3:
		if err = g.login(); err == nil {
			id, err = g.confirm()
		}
	}
	if err != nil {
		return err
	}
	g.hold() // all at once: the worst for who reads
	for _, packet := range packets {
		packet = append([]byte(nil), packet...)
		if len(packet) > 4 && packet[1] == 0xfe {
			copy(packet[1:], numbers(0, id)[1:])
		}
		if err := g.send(packet); err != nil {
			return err
		}
	}
	_, err = g.Conn.Write(g.held.Bytes())
	return err
}

// FuzzMachine: whatever a machine says, at whatever time, an act ends and so does
// the pool, which waits for all that it began.
func FuzzMachine(f *testing.F) {
	packet := func(p []byte) string { return string([]byte{byte(len(p) - 1)}) + string(p) }
	f.Add([]byte("\x00\x08SSH-2.0-x\x02\r\n\xff"))
	f.Add([]byte("\x01" + packet([]byte{msgNewKeys}) + packet([]byte{msgAuthSuccess})))
	f.Add([]byte("\x02" + packet([]byte{msgServiceAccept}) + packet([]byte{msgAuthFailure})))
	const session = 0xfe000000
	for _, p := range [][]byte{
		numbers(msgChannelClose, session), numbers(msgChannelEOF, session), numbers(msgWindowAdjust, session, 1<<32-1),
		append(numbers(msgChannelData, session, 1), 'x'), append(numbers(msgExtendedData, session, 1, 1), 'x'),
		channelRequest(session, "exit-status", true, []byte{0, 0, 0, 1}), numbers(msgOpenConfirm, session, 0, 0, 0),
		numbers(msgChannelFailure, session), {msgGlobalRequest}, {msgKexInit}, {msgNewKeys}, {msgDisconnect}, {msgChannelOpen}, {192, 0, 0, 0, 0},
	} {
		f.Add([]byte("\x03" + packet(p)))
		f.Add([]byte("\x03" + packet(p) + packet(p) + packet(numbers(msgChannelClose, session))))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		target, _ := rogueMachine(t, func(g *rogue) error { return play(g, data) })
		p := &sshpool.Pool{ConnectTime: 5 * time.Second}
		ctx, cancel := context.WithTimeout(t.Context(), limits.ConnectTime)
		defer cancel()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			s, err := openOn(ctx, p, target)
			if err == nil {
				s.Go(func() { ssh.DiscardRequests(s.Requests()) })
				_, _ = s.SendRequest("exec", false, ssh.Marshal(struct{ Line string }{"true"}))
				<-s.Lost() // the machine hangs up when it has said its piece
				s.Close()
			}
			p.Close()
		}()
		select {
		case <-ended:
		case <-time.After(time.Minute):
			panic("it hangs") // with the goroutines' stacks
		}
	})
}

package bus

// Stats is the state of a bus, and what it has carried since its start.
type Stats struct {
	Connected bool
	// Sent counts the notices that this process gave, Received those that reached
	// a listener of it: one notice that two listeners get counts twice.
	Sent, Received uint64
}

// Stats tells how the bus is used.
func (b *Bus) Stats() Stats {
	carried := b.conn.Stats()
	return Stats{Connected: b.Connected(), Sent: carried.OutMsgs, Received: carried.InMsgs}
}

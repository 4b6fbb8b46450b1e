package httpapi

// takeTurn waits until it is the turn of the caller's organisation, where several ask at
// once: what a request costs, a page of rows or a commit, is not to stand in the way of
// others. The admin doesn't wait, nor does what acts on a machine, for which the gateway has
// a queue. It fails with the request's context alone, which whoever goes on finds ended.
func (c *call) takeTurn() {
	if c.route.acts || c.by.OrgID == "" || c.turn != nil {
		return
	}
	c.turn, _ = c.api.Turns.Take(c.r.Context(), c.by.OrgID)
}

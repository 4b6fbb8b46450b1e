package httpapi

import "sallyport/internal/fairqueue"

// takeTurn waits until it is the turn of the caller's organisation, where several ask at
// once: what a request costs, a page of rows or a commit, is not to stand in the way of
// others. What acts on a machine doesn't wait, since the gateway has a queue for it, but it
// asks: others' pages aren't to stand in its way.
func (c *call) takeTurn() {
	switch {
	case c.route.acts && c.by.OrgID != "":
		c.api.Turns.Note(c.by.OrgID)
	case !c.route.acts && c.turn == nil:
		c.turn = c.waitTurn()
	}
}

// waitTurn waits for a turn of the caller's organisation; the admin, who has none, doesn't
// wait. It fails with the request's context alone, which whoever goes on finds ended. The
// caller releases the turn; nil has nothing to release.
func (c *call) waitTurn() *fairqueue.Place {
	if c.by.OrgID == "" {
		return nil
	}
	turn, _ := c.api.Turns.Take(c.r.Context(), c.by.OrgID)
	return turn
}

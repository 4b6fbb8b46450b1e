package connector

import (
	"errors"
	"syscall"

	"sallyport/client/sallyport"
)

// OutOfFiles returns err, or where this server's own lack of files or memory is what kept
// it from a dial, too_many_execs with the reason capacity: nothing is wrong with the
// machine, and another time may do.
func OutOfFiles(err error) error {
	for _, shortage := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.ENOBUFS} {
		if errors.Is(err, shortage) {
			e := sallyport.Errorf(sallyport.CodeTooManyExecs, "the server has no files or memory left for another connection; try again in a moment")
			e.Reason = sallyport.ReasonCapacity
			return e.Because(err)
		}
	}
	return err
}

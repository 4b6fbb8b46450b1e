// Package scratch says where tests keep what goes with them.
package scratch

import "syscall"

// memory is a file system in memory, and memoryNeeded the room that it has to have for
// directories of tests: containers' often have little.
const (
	memory       = "/dev/shm"
	memoryNeeded = 2 << 30
)

// Dir is the directory in which tests make theirs: one in memory where there is room, since
// processes that end in whatever way lose nothing there, and nobody waits for a disk. It is
// empty, which os.MkdirTemp takes for the system's, where there is none.
func Dir() string {
	var room syscall.Statfs_t
	if err := syscall.Statfs(memory, &room); err != nil || room.Bavail*uint64(room.Bsize) < memoryNeeded {
		return ""
	}
	return memory
}

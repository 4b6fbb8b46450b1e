package server

import "golang.org/x/sys/unix"

// space is what a file system has free for who is not root.
type space struct {
	bytes, bytesAll uint64
	// inodesAll is 0 where a file system makes them as it needs them.
	inodes, inodesAll uint64
}

// diskSpace asks the file system that path is on.
func diskSpace(path string) (space, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return space{}, err
	}
	block := uint64(st.Bsize)
	return space{
		bytes: uint64(st.Bavail) * block, bytesAll: uint64(st.Blocks) * block,
		inodes: uint64(st.Ffree), inodesAll: uint64(st.Files),
	}, nil
}

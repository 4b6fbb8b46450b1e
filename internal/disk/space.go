package disk

import "golang.org/x/sys/unix"

// Space is the free space of a file system for users other than root.
type Space struct {
	Bytes, BytesAll uint64
	// InodesAll is 0 where a file system makes them as it needs them.
	Inodes, InodesAll uint64
}

// FreeSpace asks the file system that path is on.
func FreeSpace(path string) (Space, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return Space{}, err
	}
	block := uint64(st.Bsize)
	return Space{
		Bytes: uint64(st.Bavail) * block, BytesAll: uint64(st.Blocks) * block,
		Inodes: uint64(st.Ffree), InodesAll: uint64(st.Files),
	}, nil
}

package doctor

import "golang.org/x/sys/unix"

// clockIsSynchronized asks the kernel. Where it doesn't say, nothing is held
// against the clock.
func clockIsSynchronized() bool {
	state, err := unix.Adjtimex(&unix.Timex{}) // which changes nothing
	return err != nil || state != unix.TIME_ERROR
}

// networkFileSystem names the file system of path if it is another machine's, or
// "".
func networkFileSystem(path string) string {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return ""
	}
	const cifs, smb2, ceph, nineP = 0xff534d42, 0xfe534d42, 0x00c36400, 0x01021997
	switch uint32(st.Type) {
	case unix.NFS_SUPER_MAGIC:
		return "NFS"
	case cifs, smb2, unix.SMB_SUPER_MAGIC:
		return "SMB"
	case ceph:
		return "CephFS"
	case nineP:
		return "9P"
	}
	return ""
}

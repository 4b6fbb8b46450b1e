package recording

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"sallyport/internal/limits"
)

// ErrBroken is that the file was changed since it was written.
var ErrBroken = errors.New("the recording was changed since it was written")

// A file is a version, the recording's own key, sealed, and frames:
//
//	version   1 byte
//	key       sealedKeyBytes
//	frame     kind (1 byte), length of what is sealed (4 bytes, big-endian), and that
//
// Frames are sealed with AES-256-GCM under the recording's key, which is used for nothing
// else. The nonce is the frame's kind and number: none can be moved, left out or repeated.
// The first frame holds the Header, in JSON, those after it the asciicast; the last, which a
// cut file lacks, has a fixed size, so that it is found from the end, and counts the others.
const (
	fileVersion = 1
	keyBytes    = 32
	// sealedKeyBytes is what keys.Sealer makes of it: version, id, nonce and tag.
	sealedKeyBytes = 1 + 8 + 12 + keyBytes + tagBytes
	tagBytes       = 16
	prefixBytes    = 1 + 4
	// endBytes is the size of the last frame's content, blanks behind the JSON.
	endBytes = 256
	// frameBytesMax is more than any frame has.
	frameBytesMax = 2*limits.RecordingFrameBytes + tagBytes
)

const (
	kindHeader = 'h'
	kindData   = 'd'
	kindEnd    = 'e'
)

// end is the content of the last frame.
type end struct {
	Frames     uint64 `json:"frames"` // of data
	Bytes      int64  `json:"bytes"`
	DurationMS int64  `json:"duration_ms"`
	Status     string `json:"status"`
}

// cipherOf makes the cipher of a recording's key.
func cipherOf(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func nonceOf(kind byte, number uint64) []byte {
	nonce := make([]byte, 12)
	nonce[0] = kind
	binary.BigEndian.PutUint64(nonce[4:], number)
	return nonce
}

// appendFrame seals content behind what is in to.
func appendFrame(to []byte, aead cipher.AEAD, kind byte, number uint64, content []byte) []byte {
	to = append(to, kind)
	to = binary.BigEndian.AppendUint32(to, uint32(len(content)+tagBytes))
	return aead.Seal(to, nonceOf(kind, number), content, nil)
}

// opened is the file of a recording, whose key and header have been read.
type opened struct {
	file *os.File
	aead cipher.AEAD
	info Info
	// end is nil of a recording that isn't ended.
	end *end
}

// open opens a recording's file. The caller closes it. The header is that of the file; its
// error is ErrNotFound, ErrBroken, or one of package keys'.
func (a *Archive) open(orgID, workspaceID, recordingID string) (*opened, error) {
	path, err := a.path(orgID, workspaceID, recordingID)
	if err != nil {
		return nil, err
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, notFound(err)
	}
	o := &opened{file: file}
	if err := a.readHead(o, Header{ID: recordingID, OrgID: orgID, WorkspaceID: workspaceID}); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return o, nil
}

func (a *Archive) readHead(o *opened, where Header) error {
	head := make([]byte, 1+sealedKeyBytes)
	if _, err := io.ReadFull(o.file, head); err != nil {
		return fmt.Errorf("read its key: %w", err)
	}
	if head[0] != fileVersion {
		return errors.New("it is of a form that this version does not know")
	}
	key, err := a.Seal.Open(purpose(where), head[1:])
	if err != nil {
		return err
	}
	defer clear(key)
	if o.aead, err = cipherOf(key); err != nil {
		return err
	}
	kind, content, err := readFrame(o.file, o.aead, 0)
	if err != nil {
		return err
	}
	if kind != kindHeader || json.Unmarshal(content, &o.info.Header) != nil {
		return ErrBroken
	}
	if o.end, err = o.readEnd(); err != nil {
		return err
	}
	if o.end != nil {
		o.info.IsEnded, o.info.Status = true, o.end.Status
		o.info.Bytes, o.info.Duration = o.end.Bytes, time.Duration(o.end.DurationMS)*time.Millisecond
	}
	return nil
}

// readEnd reads the last frame from the end of the file; nil where it isn't there.
func (o *opened) readEnd() (*end, error) {
	info, err := o.file.Stat()
	if err != nil {
		return nil, err
	}
	const whole = prefixBytes + endBytes + tagBytes
	if info.Size() < whole {
		return nil, nil
	}
	tail := io.NewSectionReader(o.file, info.Size()-whole, whole)
	kind, content, err := readFrame(tail, o.aead, 0)
	if err != nil || kind != kindEnd {
		return nil, nil // a recording that goes on, or was cut
	}
	var last end
	if err := json.Unmarshal(content, &last); err != nil {
		return nil, ErrBroken
	}
	return &last, nil
}

// readFrame reads one frame, of the number if it holds data. It returns io.EOF before a frame,
// io.ErrUnexpectedEOF within one, and ErrBroken for what isn't as it was sealed.
func readFrame(r io.Reader, aead cipher.AEAD, number uint64) (kind byte, content []byte, err error) {
	prefix := make([]byte, prefixBytes)
	if _, err := io.ReadFull(r, prefix); err != nil {
		return 0, nil, err
	}
	kind, size := prefix[0], binary.BigEndian.Uint32(prefix[1:])
	if size > frameBytesMax || size < tagBytes {
		return 0, nil, ErrBroken
	}
	sealed := make([]byte, size)
	if _, err := io.ReadFull(r, sealed); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return 0, nil, err
	}
	if kind != kindData {
		number = 0
	}
	if content, err = aead.Open(sealed[:0], nonceOf(kind, number), sealed, nil); err != nil {
		return 0, nil, ErrBroken
	}
	return kind, content, nil
}

// info describes a recording. With an error it is what the file's name tells.
func (a *Archive) info(orgID, workspaceID, recordingID string) (Info, error) {
	o, err := a.open(orgID, workspaceID, recordingID)
	if err != nil {
		return unreadable(orgID, workspaceID, recordingID), err
	}
	defer o.file.Close()
	if o.end == nil {
		err = o.measure()
	}
	return o.info, err
}

// measure finds out how much there is of a recording that isn't ended.
func (o *opened) measure() error {
	stat, err := o.file.Stat()
	if err != nil {
		return err
	}
	at, err := o.file.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	prefix := make([]byte, prefixBytes)
	for {
		if _, err := o.file.ReadAt(prefix, at); err != nil {
			break
		}
		size := int64(binary.BigEndian.Uint32(prefix[1:]))
		if at += prefixBytes + size; at > stat.Size() || size < tagBytes {
			break // it is being written, or was cut
		}
		o.info.Bytes += size - tagBytes
	}
	o.info.Duration = max(stat.ModTime().Sub(o.info.CreatedAt), 0)
	return nil
}

package logtail

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

const (
	// headSize is how much of a file's beginning identifies it, tailSize how much of
	// what stands before a position identifies that, in bytes.
	headSize = 1 << 10
	tailSize = 256
	// maxCursor is more than any cursor that is written here takes.
	maxCursor = 64 << 10
	// maxSecond is later than any honest clock.
	maxSecond = 1 << 40
)

// identity is a file on this host.
type identity struct {
	Dev uint64 `json:"dev"`
	Ino uint64 `json:"ino"`
}

// digest is a hash of so many bytes.
type digest struct {
	N   int    `json:"n,omitempty"`
	Sum string `json:"sum,omitempty"`
}

func digestOf(b []byte) digest {
	if len(b) == 0 {
		return digest{}
	}
	sum := sha256.Sum256(b)
	return digest{N: len(b), Sum: hex.EncodeToString(sum[:12])}
}

func (d digest) matches(b []byte) bool { return d == digestOf(b) }

// position is where the reading of a log goes on. Offsets are of the content: of
// what a compressed file expands to.
type position struct {
	identity
	Off  int64  `json:"off"`
	Skip bool   `json:"skip,omitempty"` // within a line that is too long
	Head digest `json:"head,omitzero"`  // of the file's beginning
	Tail digest `json:"tail,omitzero"`  // of what stands before Off
	// Warm is where the lines begin that made the decoder's state, in Before if that
	// is another file.
	Warm   int64  `json:"warm"`
	Before *place `json:"before,omitempty"`
	// Last is the time of the last line that has one.
	Last int64 `json:"last,omitempty"`
	// Rows older than Since that are told before Until are not wanted.
	Since int64 `json:"since,omitempty"`
	Until int64 `json:"until,omitempty"`
	// Told says that the removal of the file was.
	Told bool `json:"told,omitempty"`
}

// place is an offset in a file that was read to its end.
type place struct {
	identity
	Head digest `json:"head,omitzero"`
	Off  int64  `json:"off"`
}

type cursorForm struct {
	Version int                  `json:"v"`
	Files   map[string]*position `json:"files"`
}

func cursorText(at map[string]*position) (string, error) {
	if len(at) == 0 {
		return "", nil
	}
	raw, err := json.Marshal(cursorForm{Version: 1, Files: at})
	if err != nil {
		return "", fmt.Errorf("write the position: %w", err)
	}
	return string(raw), nil
}

func parseCursor(text string) (map[string]*position, error) {
	if text == "" {
		return nil, nil
	}
	if len(text) > maxCursor {
		return nil, fmt.Errorf("%d bytes", len(text))
	}
	var c cursorForm
	dec := json.NewDecoder(bytes.NewReader([]byte(text)))
	if err := dec.Decode(&c); err != nil {
		return nil, err
	}
	if c.Version != 1 {
		return nil, fmt.Errorf("version %d is unknown", c.Version)
	}
	for path, p := range c.Files {
		if p == nil || !p.valid() {
			return nil, fmt.Errorf("what it says of %.200q makes no sense", path)
		}
	}
	return c.Files, nil
}

func (p *position) valid() bool {
	for _, n := range []int64{p.Off, p.Warm, p.Until} {
		if n < 0 || n > maxContent {
			return false
		}
	}
	for _, n := range []int64{p.Last, p.Since} {
		if n < 0 || n > maxSecond {
			return false
		}
	}
	if p.Before != nil && (p.Before.Off < 0 || p.Before.Off > maxContent || !p.Before.Head.valid(headSize)) {
		return false
	}
	return p.Warm <= p.Off && p.Head.valid(headSize) && p.Tail.valid(tailSize) && int64(p.Head.N) <= p.Off && int64(p.Tail.N) <= p.Off
}

func (d digest) valid(most int) bool {
	return d.N >= 0 && d.N <= most && len(d.Sum) <= 64 && (d.N == 0) == (d.Sum == "")
}

// maxContent is more than any log has, in bytes.
const maxContent = 1 << 50

package core

import (
	"bytes"
	"encoding/binary"
	"net"
	"testing"

	"github.com/apache/thrift/lib/go/thrift"
)

// script is a peer that says what it was given and then hangs up.
type script struct {
	net.Conn
	says *bytes.Reader
}

func (s script) Read(p []byte) (int, error)  { return s.says.Read(p) }
func (s script) Write(p []byte) (int, error) { return len(p), nil }

func FuzzAnswer(f *testing.F) {
	header := []byte{0x80, 1, 0, byte(thrift.REPLY), 0, 0, 0, 5, 'q', 'u', 'e', 'r', 'y', 0, 0, 0, 1}
	status := []byte{byte(thrift.STRUCT), 0, 1, byte(thrift.I32), 0, 1, 0, 0, 0, 0, byte(thrift.STOP)}
	row := []byte{byte(thrift.LIST), 0, 2, byte(thrift.MAP), 0, 0, 0, 1, byte(thrift.STRING), byte(thrift.STRING), 0, 0, 0, 1,
		0, 0, 0, 1, 'n', 0, 0, 0, 2, 'v', 'v'}
	open := []byte{byte(thrift.STRUCT), 0, 0}
	end := []byte{byte(thrift.STOP), byte(thrift.STOP)}
	f.Add(bytes.Join([][]byte{header, open, status, row, end}, nil))
	f.Add(bytes.Join([][]byte{header, open, row, status, end}, nil))
	f.Add(bytes.Join([][]byte{header, open, status}, nil))
	f.Add(binary.BigEndian.AppendUint32(header, 1<<31))
	f.Add([]byte{0x80, 1, 0, byte(thrift.EXCEPTION), 0, 0, 0, 5, 'q', 'u', 'e', 'r', 'y', 0, 0, 0, 1, byte(thrift.STOP)})
	f.Fuzz(func(t *testing.T, answer []byte) {
		w := &wire{Conn: script{says: bytes.NewReader(answer)}}
		p := newProtocol(w, limits{rows: 50, string: 1 << 10, bytes: 16 << 10})
		w.refill(p.limits.bytes)
		rows := 0
		err := p.query(1, "SELECT 1", func(r *Row) error {
			rows++
			for i := range r.Len() {
				if _, value := r.Column(i); len(value) > 1<<10 {
					t.Fatalf("a value of %d bytes", len(value))
				}
			}
			return nil
		})
		if rows > 50 && err == nil {
			t.Fatalf("%d rows", rows)
		}
	})
}

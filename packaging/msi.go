package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"time"
)

// packageCode is how the one UUID among a MSI's summary properties is stored: a text
// (type 30) of 39 bytes with its end.
var packageCode = []byte("\x1e\x00\x00\x00\x27\x00\x00\x00{")

// settleMSI puts id and the time at in the place of the random id and the times of
// making, began to ended, that wixl writes.
func settleMSI(msi []byte, id string, at, began, ended time.Time) error {
	i := bytes.Index(msi, packageCode)
	if i < 0 || bytes.Count(msi, packageCode) > 1 {
		return errors.New("the MSI's own id was not found in it")
	}
	copy(msi[i+len(packageCode):], strings.ToUpper(id)+"}")
	found := 0
	for s := began.Unix(); s <= ended.Unix(); s++ {
		old, now := fileTime(s), fileTime(at.Unix())
		// Type 64 stands in front: nothing else is taken for a time.
		old, now = append([]byte{0x40, 0, 0, 0}, old...), append([]byte{0x40, 0, 0, 0}, now...)
		for {
			i := bytes.Index(msi, old)
			if i < 0 || bytes.Equal(old, now) {
				break
			}
			copy(msi[i:], now)
			found++
		}
	}
	if found == 0 {
		return errors.New("the MSI's time of making was not found in it")
	}
	return nil
}

// fileTime is a time as Windows stores it: tenths of microseconds since 1601.
func fileTime(unix int64) []byte {
	return binary.LittleEndian.AppendUint64(nil, uint64(unix+11_644_473_600)*10_000_000)
}

package files

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/source/files/fieldmap"
)

const (
	startedXML = `<Event xmlns='` + eventNamespace + `'><System><Provider Name='Microsoft-Windows-Security-Auditing'/><EventID>4688</EventID><TimeCreated SystemTime='2026-11-26T09:00:00.500000000Z'/>` +
		`<EventRecordID>7</EventRecordID><Channel>Security</Channel><Computer>WS1</Computer></System><EventData><Data Name='SubjectUserSid'>S-1-5-21-1-2-3-1104</Data><Data Name='SubjectUserName'>anna</Data>` +
		`<Data Name='SubjectDomainName'>CORP</Data><Data Name='NewProcessId'>0x1b0</Data><Data Name='NewProcessName'>C:\Windows\System32\sc.exe</Data><Data Name='CommandLine'>sc query &quot;a&amp;b&quot;&#27;` + "\x01\xff" + `</Data></EventData></Event>`
	installedXML = `<Event xmlns="` + eventNamespace + `">
  <System>
    <Provider Name="Service Control Manager" Guid="{555908d1}" />
    <EventID Qualifiers="16384">7045</EventID>
    <TimeCreated SystemTime="2026-11-26T09:00:00Z" />
    <Channel>System</Channel>
    <Computer>WS1</Computer>
  </System>
  <EventData>
    <Data Name="ServiceName">Upd</Data>
    <Data Name="ImagePath">C:\u.exe</Data>
  </EventData>
</Event>`
)

// utf16Of is a text as PowerShell writes it to a file.
func utf16Of(s string) string {
	var b bytes.Buffer
	for _, u := range append([]uint16{0xfeff}, utf16.Encode([]rune(s))...) {
		_ = binary.Write(&b, binary.LittleEndian, u)
	}
	return b.String()
}

// TestEventXML reads the events that the Event Viewer, wevtutil and forwarders write, and
// what surrounds them.
func TestEventXML(t *testing.T) {
	maps, err := fieldmap.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	const json = `{"EventID":4688,"TimeCreated":"2026-11-26T09:00:00Z","Computer":"WS1","NewProcessName":"C:\\Windows\\System32\\sc.exe","CommandLine":"sc query é"}`
	for name, tt := range map[string]struct {
		text     string
		command  string
		installs int
		lost     int64
		note     string
	}{
		"a line each":       {startedXML + "\r\n" + installedXML + "\n", "sc query \"a&b\"\ufffd\ufffd\ufffd", 1, 0, ""},
		"the Event Viewer":  {`<?xml version="1.0" encoding="utf-8" standalone="yes"?>` + "\n<Events>" + startedXML + installedXML + "</Events>", "sc query \"a&b\"\ufffd\ufffd\ufffd", 1, 0, ""},
		"in UTF-16":         {utf16Of("<Events>" + installedXML + "</Events>"), "", 1, 0, ""},
		"JSON in UTF-16":    {utf16Of(json), "sc query é", 0, 0, ""},
		"cut off":           {installedXML + startedXML[:300], "", 1, 1, "it ends within object 2"},
		"a broken one":      {"<Event xmlns='" + eventNamespace + "'><System></Event>" + installedXML, "", 1, 0, "1 objects of another form"},
		"an endless one":    {"<Event xmlns='" + eventNamespace + "'>" + strings.Repeat("<a>", maxLine) + "</Event>" + installedXML, "", 1, 1, "longer than"},
		"one nested deeply": {installedXML + "<Event>" + strings.Repeat("<a>", 1000) + "</Event>", "", 1, 1, "in each other"},
		"one with too many": {installedXML + "<Event>" + strings.Repeat("<a/>", maxElements) + "</Event>", "", 1, 1, "more than 4096 elements"},
		"entities":          {`<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>` + strings.Replace(installedXML, "Upd", "&b;Upd", 1), "", 1, 0, ""},
	} {
		r, err := Open([]string{"-"}, Options{Stdin: strings.NewReader(tt.text), Maps: maps})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := readEvidence(t, r, 0)
		account := r.Accounts()[0]
		command := ""
		if len(got.Processes) > 0 {
			command = got.Processes[0].CmdLine
		}
		if command != tt.command || len(got.Installs) != tt.installs || account.Kind != KindWindows || account.Lost != tt.lost || !strings.Contains(strings.Join(account.Notes, "; "), tt.note) || tt.note == "" && len(account.Notes) > 0 {
			t.Errorf("%s: %q, %d installs, %+v", name, command, len(got.Installs), account)
		}
	}
}

// TestDecodeElement: XML becomes the object that converters make of it.
func TestDecodeElement(t *testing.T) {
	got, err := decodeElement([]byte(`<Event xmlns="x"><A N="1">t</A><B/><C>1</C><C>2</C><C>3</C><D><E>e</E></D></Event>`))
	want := fieldmap.Object{"A": fieldmap.Object{"N": "1", "#text": "t"}, "B": "", "C": []any{"1", "2", "3"}, "D": fieldmap.Object{"E": "e"}}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("(-want +got)\n%s %v", d, err)
	}
	for _, s := range []string{"", "<Event>", "<Event>text</Event>", "no", "<a></b>"} {
		if got, err := decodeElement([]byte(s)); err == nil {
			t.Errorf("%q is %v", s, got)
		}
	}
}

// FuzzElements: what is between events costs nothing but itself, and any text is an
// object or an error.
func FuzzElements(f *testing.F) {
	f.Add([]byte(startedXML), []byte("<Events>"))
	f.Add([]byte(installedXML), []byte("<Event<Event"))
	f.Add([]byte("<Event><a>&#x1;&#0;&lt;&b;</a></Event>"), []byte("<EventData></Event>"))
	f.Fuzz(func(t *testing.T, event, junk []byte) {
		x := newElements(bytes.NewReader(event))
		for {
			b, err := x.next()
			if err != nil {
				if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Fatal(err)
				}
				break
			}
			o, err := decodeElement(b)
			if err != nil {
				continue
			}
			d := newJSON(t)
			var got evidence.Batch
			d.object(o, &got)
			d.flush(&got)
		}
		if open := newElements(bytes.NewReader(junk)); !bytes.Contains(junk, []byte(eventOpens)) {
			if _, err := open.next(); !errors.Is(err, io.EOF) {
				t.Fatalf("%q: %v", junk, err)
			}
			x := newElements(bytes.NewReader(append(bytes.Clone(junk), installedXML...)))
			if b, err := x.next(); err != nil || string(b) != installedXML {
				t.Fatalf("behind %q: %q %v", junk, b, err)
			}
		}
	})
}

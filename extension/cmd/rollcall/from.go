package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/mattn/go-isatty"

	"github.com/osquery-rollcall/rollcall/extension/engine"
	"github.com/osquery-rollcall/rollcall/extension/source/files"
	"github.com/osquery-rollcall/rollcall/extension/source/files/fieldmap"
)

// maxFromNotes bounds what is said about files on standard error.
const maxFromNotes = 20

// fromFiles is the evidence of --from.
type fromFiles struct {
	*files.Reader
	progress *progressLine
}

// openFrom finds and recognises the files that paths name (files, folders, "-").
// mapFile, when it is not empty, holds field maps that go before the built-in
// ones.
func openFrom(env *environment, paths []string, mapFile string) (*fromFiles, error) {
	maps, err := fieldmap.Builtin()
	if err != nil {
		return nil, err
	}
	if mapFile != "" {
		f, err := os.Open(mapFile)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		if maps, err = maps.With(f); err != nil {
			return nil, fmt.Errorf("%s: %w", mapFile, err)
		}
	}
	from := &fromFiles{progress: newProgressLine(env.stderr)}
	from.Reader, err = files.Open(paths, files.Options{
		Stdin: env.stdin, Maps: maps, Progress: from.progress.show,
	})
	if err != nil {
		return nil, err
	}
	if len(from.Sources()) == 0 {
		from.report(env.stderr)
		return nil, errors.Join(fmt.Errorf("no evidence in %s", strings.Join(paths, ", ")), from.Close())
	}
	return from, nil
}

// sources returns what an engine reads.
func (f *fromFiles) sources() []engine.Source {
	var out []engine.Source
	for _, s := range f.Sources() {
		out = append(out, s)
	}
	return out
}

// now is the clock of the analysis: that of the evidence, or ours before any was
// read.
func (f *fromFiles) now() time.Time {
	if t := f.Newest(); t > 0 {
		return time.Unix(t, 0)
	}
	return time.Now()
}

// collect runs collect, one cycle of an engine, until all files are read.
func (f *fromFiles) collect(ctx context.Context, collect func(context.Context) error) error {
	defer f.progress.end()
	var last int64 = -1
	for idle := 0; !f.Drained(); {
		if err := collect(ctx); err != nil {
			return err
		}
		var read int64
		for _, a := range f.Accounts() {
			read += a.Read
		}
		if idle++; read != last {
			last, idle = read, 0
		}
		if idle > 1000 {
			return errors.New("reading the files makes no progress")
		}
	}
	return nil
}

// report says which files were not read, or not wholly.
func (f *fromFiles) report(w io.Writer) {
	said, more := 0, 0
	for _, a := range f.Accounts() {
		if len(a.Notes) == 0 {
			continue
		}
		if said == maxFromNotes {
			more++
			continue
		}
		said++
		fmt.Fprintf(w, "rollcall: %s: %s\n", engine.Presentable([]string{a.Path})[0], engine.Presentable([]string{strings.Join(a.Notes, "; ")})[0])
	}
	if more > 0 {
		fmt.Fprintf(w, "rollcall: %d more files were not read wholly\n", more)
	}
}

// progressLine tells how far the reading is, once it takes longer than a second:
// in place on a terminal, else every ten seconds.
type progressLine struct {
	w        io.Writer
	terminal bool
	next     time.Time
	shown    bool
}

func newProgressLine(w io.Writer) *progressLine {
	f, ok := w.(*os.File)
	now := time.Now()
	return &progressLine{w: w, terminal: ok && isatty.IsTerminal(f.Fd()), next: now.Add(time.Second)}
}

// show is called by one goroutine at a time.
func (p *progressLine) show(s files.Progress) {
	now := time.Now()
	if now.Before(p.next) {
		return
	}
	text := fmt.Sprintf("rollcall: read %d of %d files, %d of %d MB, %d records", s.Files, s.TotalFiles, s.Bytes>>20, s.TotalBytes>>20, s.Read)
	if p.terminal {
		fmt.Fprintf(p.w, "\r\x1b[K%s", text)
		p.next = now.Add(200 * time.Millisecond)
	} else {
		fmt.Fprintln(p.w, text)
		p.next = now.Add(10 * time.Second)
	}
	p.shown = true
}

// end leaves the line to what comes next.
func (p *progressLine) end() {
	if p.shown && p.terminal {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
	p.shown = false
}

// Package lineedit is the line editor of the shell at a terminal, with history
// and completion.
package lineedit

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/peterh/liner"

	"github.com/osquery-rollcall/rollcall/extension/sqlshell/repl"
)

// Editor reads lines from the terminal that is standard input and output. It is
// a repl.LineReader.
type Editor struct {
	state   *liner.State
	history string
}

// Open takes the terminal over until Close. The history is read from the file
// of that name and written back by Close; "" keeps none. When the file cannot be
// read, Open works without it and returns the reason with the Editor.
func Open(history string, complete func(line string, pos int) (head string, words []string, tail string)) (*Editor, error) {
	var data []byte
	var err error
	if history != "" {
		if data, err = repl.ReadHistory(history); err != nil {
			history = ""
		}
	}
	e := &Editor{state: liner.NewLiner(), history: history}
	e.state.SetCtrlCAborts(true)
	e.state.SetTabCompletionStyle(liner.TabPrints)
	e.state.SetBeep(false)
	if complete != nil {
		e.state.SetWordCompleter(complete)
	}
	for _, entry := range strings.Split(string(data), "\n") {
		e.Remember(entry)
	}
	return e, err
}

// ReadLine implements repl.LineReader.
func (e *Editor) ReadLine(prompt string) (string, error) {
	line, err := e.state.Prompt(prompt)
	switch {
	case errors.Is(err, liner.ErrPromptAborted):
		return "", repl.ErrInterrupted
	case err != nil:
		return "", err
	}
	return line, nil
}

// Remember implements repl.LineReader.
func (e *Editor) Remember(entry string) {
	// One entry a line, and nothing that recalling it would send to the terminal.
	const longest = 4096 // what the library reads back
	if entry == "" || len(entry) >= longest || !utf8.ValidString(entry) || strings.ContainsFunc(entry, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return
	}
	e.state.AppendHistory(entry)
}

// Close gives the terminal back and writes the history.
func (e *Editor) Close() error {
	err := e.state.Close()
	if e.history == "" {
		return err
	}
	var buf bytes.Buffer
	if _, herr := e.state.WriteHistory(&buf); herr != nil {
		return errors.Join(err, herr)
	}
	return errors.Join(err, repl.WriteHistory(e.history, buf.Bytes()))
}

var _ interface {
	repl.LineReader
	io.Closer
} = (*Editor)(nil)

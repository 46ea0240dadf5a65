// Package core reads evidence from osquery itself, over the extension socket
// that an osquery process serves: a buffered client, what the running osquery
// can see, and the sources built on its event tables.
//
// The rules of that neighbourhood are kept here so that nobody else has to know
// them: an event table is never read without a constraint on time (that would
// move the cursor of whichever scheduled query is running), the tables that
// describe the schedule are never read at all (the scheduler holds their lock),
// and everything that arrives is bounded, since a socket is only as honest as
// whoever listens on it.
package core

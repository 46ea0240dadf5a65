// Package permit lets others do what they must not, for tests that look for it.
package permit

// Package arch holds the tests of the project's own shape: which package may import which, that documents link to what exists, and a
// report of sizes. It has no code of its own.
package arch

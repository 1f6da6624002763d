// Package server runs the process's listeners: HTTP/1.1 and 2 with limits that a hostile or slow client cannot exceed, an orderly
// end, and the probes and metrics of the admin listener.
package server

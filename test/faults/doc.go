// Package faults holds no code. Its tests break, one at a time, what the gate depends on, around the real binary, and
// state for each fault what the caller sees, what the record says, which metric moves and how the gate recovers.
// docs/faults.md is the same table for operators.
package faults

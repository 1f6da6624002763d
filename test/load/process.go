package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

var errProc = errors.New("unexpected form of a file in /proc")

// cpuTime returns the user and system time of a process so far (proc(5), fields 14 and 15 of stat).
func cpuTime(pid int) (time.Duration, error) {
	if pid == 0 {
		return 0, nil
	}
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, fmt.Errorf("reading CPU time: %w", err)
	}
	_, after, found := strings.Cut(string(b), ") ")
	fields := strings.Fields(after)
	const user, system, tick = 11, 12, 10 * time.Millisecond // USER_HZ is 100 on every Linux that Go runs on
	if !found || len(fields) <= system {
		return 0, errProc
	}
	u, err1 := strconv.ParseInt(fields[user], 10, 64)
	s, err2 := strconv.ParseInt(fields[system], 10, 64)
	return time.Duration(u+s) * tick, errors.Join(err1, err2)
}

// peakMemory returns the largest resident size of a process, in KiB.
func peakMemory(pid int) (int, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0, fmt.Errorf("reading memory: %w", err)
	}
	for l := range strings.Lines(string(b)) {
		if rest, found := strings.CutPrefix(l, "VmHWM:"); found {
			return strconv.Atoi(strings.Fields(rest)[0]) //nolint:wrapcheck // the kernel writes a number
		}
	}
	return 0, errProc
}

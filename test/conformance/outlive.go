package main

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
)

// outlive runs the cases that take longer than their tokens live, in every SDK
// at once, for they mostly wait. The gate has a provider with short-lived
// tokens, and would refuse the first one in the end: an SDK passes if it gets
// itself another.
func (r *Report) outlive(ctx context.Context, cases []testCase, o options) error {
	cases = slices.DeleteFunc(slices.Clone(cases), func(c testCase) bool { return c.TokenLifetime == "" })
	if len(cases) == 0 || len(r.Columns) == 0 {
		return nil
	}
	folder, err := os.MkdirTemp("", "cosmosgate-outlive-")
	if err != nil {
		return fmt.Errorf("making the state folder: %w", err)
	}
	defer os.RemoveAll(folder)
	t, stop, err := start(ctx, o.binary, folder, "--token-lifetime", cases[0].TokenLifetime)
	if err != nil {
		return err
	}
	defer stop()
	first, err := t.token(ctx, operator)
	if err != nil {
		return err
	}
	var running sync.WaitGroup
	for i := range r.Columns {
		column := &r.Columns[i]
		if column.Skipped != "" || column.folder == "" {
			continue
		}
		running.Go(func() {
			found, err := runSide(ctx, column.sdk, column.folder, t, cases, "gate")
			if column.gate == nil {
				column.gate = results{}
			}
			maps.Copy(column.gate, found)
			column.Failed = strings.TrimSpace(column.Failed + " " + problem(err))
		})
	}
	running.Wait()
	status, err := t.ask(ctx, first, "dbs/"+database)
	if err == nil && status != http.StatusUnauthorized {
		err = fmt.Errorf("a token that has ended is answered with %d, so that these cases prove nothing", status)
	}
	return err
}

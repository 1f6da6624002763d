package main

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// TestEveryCommandSaysHowItIsUsed walks the whole tree: what a person sees first is never left out, and a flag means the same wherever it
// occurs.
func TestEveryCommandSaysHowItIsUsed(t *testing.T) {
	t.Parallel()
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			if sub.Name() != "help" {
				walk(sub)
			}
		}
		if c.Short == "" || strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: short help %q", c.CommandPath(), c.Short)
		}
		if c.Runnable() && c.HasParent() && !c.HasAvailableSubCommands() {
			if c.Example == "" || !strings.Contains(c.Example, "cosmosgate ") {
				t.Errorf("%s: no example", c.CommandPath())
			}
			if c.Args == nil {
				t.Errorf("%s: takes any arguments", c.CommandPath())
			}
		}
		c.Flags().VisitAll(func(f *pflag.Flag) {
			for short, long := range map[string]string{"o": "output", "c": "config", "v": "verbose"} {
				if f.Shorthand == short && f.Name != long || f.Name == long && f.Shorthand != "" && f.Shorthand != short {
					t.Errorf("%s: -%s is --%s, elsewhere --%s", c.CommandPath(), f.Shorthand, f.Name, long)
				}
			}
			_, required := f.Annotations[cobra.BashCompOneRequiredFlag]
			if named := strings.Contains(c.Use, " --"+f.Name); named != required {
				t.Errorf("%s: --%s is required: %t, named as such in %q: %t", c.CommandPath(), f.Name, required, c.Use, named)
			}
			if f.Usage == "" || strings.HasSuffix(f.Usage, ".") {
				t.Errorf("%s: --%s is described as %q", c.CommandPath(), f.Name, f.Usage)
			}
		})
	}
	walk(newRoot())
}

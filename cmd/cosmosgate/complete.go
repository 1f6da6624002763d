package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cosmosgate/cosmosgate/internal/config"
)

// completionPatience bounds what a shell waits for when somebody presses tab.
const completionPatience = 2 * time.Second

// completeGates offers the gates that somebody has signed in to.
func (e *engineer) completeGates(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	_ = e.load(cmd.Context()) // without a gate there may still be a profile
	if e.profile == nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var gates []string
	for i := range e.profile.Gates {
		gates = append(gates, e.profile.Gates[i].URL)
	}
	return gates, cobra.ShellCompDirectiveNoFileComp
}

// completeContainers offers the containers that the engineer's roles name.
func (e *engineer) completeContainers(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completionPatience)
	defer cancel()
	c, err := e.signedIn(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	who, err := c.WhoAmI(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	seen := map[string]bool{}
	var names []string
	for i := range who.Access {
		name := who.Access[i].Database + "/" + who.Access[i].Container
		if !seen[name] && !strings.Contains(name, "*") {
			names = append(names, plainCell(name))
		}
		seen[name] = true
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeConnections offers the SCIM connections of the configuration file.
func (o *operator) completeConnections(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return config.FindConnections(o.config), cobra.ShellCompDirectiveNoFileComp
}

// completionExamples shows how each shell is told to complete.
func completionExamples(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		if cmd.Name() != "completion" {
			continue
		}
		for _, shell := range cmd.Commands() {
			shell.Example = map[string]string{
				"bash": "  source <(cosmosgate completion bash)                    # for this shell\n" +
					"  cosmosgate completion bash > ~/.local/share/bash-completion/completions/cosmosgate",
				"zsh":        "  cosmosgate completion zsh > \"${fpath[1]}/_cosmosgate\"    # for shells that are started from now on",
				"fish":       "  cosmosgate completion fish > ~/.config/fish/completions/cosmosgate.fish",
				"powershell": "  cosmosgate completion powershell | Out-String | Invoke-Expression",
			}[shell.Name()]
		}
	}
}

// completeWords offers a fixed set.
func completeWords(words ...string) cobra.CompletionFunc {
	return cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)
}

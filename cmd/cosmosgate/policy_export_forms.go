package main

import (
	"encoding/json"
	"io"
	"strings"
)

func writeExport(w io.Writer, format string, accounts []exportedAccount) error {
	if format == exportJSON {
		return printJSON(w, accounts)
	}
	out := &printer{w: w}
	if format == exportAz {
		out.line("#!/usr/bin/env bash")
		out.line("# Cosmos DB role definitions and assignments of the gate's identities, and no more.")
		out.line("set -euo pipefail")
		for i := range accounts {
			accounts[i].writeAz(out)
		}
		return out.done()
	}
	if len(accounts) != 1 {
		return errOneAccount(accounts)
	}
	if format == exportBicep {
		accounts[0].writeBicep(out)
	} else {
		accounts[0].writeTerraform(out)
	}
	return out.done()
}

func errOneAccount(accounts []exportedAccount) error {
	names := make([]string, len(accounts))
	for i := range accounts {
		names[i] = accounts[i].Account
	}
	return failed(errManyAcounts, "add --account, one of "+strings.Join(names, ", "))
}

// identifier makes a name out of one that may hold other characters. Different names may become one: number tells them apart.
func identifier(prefix, name string) string {
	return prefix + strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, name)
}

// identifiers returns a different identifier for each identity.
func (a *exportedAccount) identifiers(prefix string) map[string]string {
	names, used := map[string]string{}, map[string]bool{}
	for _, x := range a.Identities {
		name := identifier(prefix, x.Name)
		for used[strings.ToLower(name)] {
			name += "_"
		}
		used[strings.ToLower(name)] = true
		names[x.Name] = name
	}
	return names
}

// shellQuote makes one word of a text for a POSIX shell.
func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// comment keeps a text on its line.
func comment(s string) string { return oneLine(plainCell(s)) }

func (a *exportedAccount) writeAz(out *printer) {
	prefix := strings.ToUpper(identifier("", a.Account))
	names := a.identifiers("PRINCIPAL_" + prefix + "_")
	out.line("\n# Account %s", comment(a.Account))
	out.line(`: "${RESOURCE_GROUP_%s:?resource group of the account}" "${ACCOUNT_%s:?name of the account}"`, prefix, prefix)
	for _, x := range a.Identities {
		out.line(`: "${%s:?object id of the identity %s%s}"`, strings.ToUpper(names[x.Name]), shellWord(x.Name), clientNote(x))
	}
	where := `--resource-group "$RESOURCE_GROUP_` + prefix + `" --account-name "$ACCOUNT_` + prefix + `"`
	for _, d := range a.Definitions {
		body := struct {
			ID          string                `json:"Id"`
			RoleName    string                `json:"RoleName"`
			Type        string                `json:"Type"`
			Scopes      []string              `json:"AssignableScopes"`
			Permissions []map[string][]string `json:"Permissions"`
		}{d.ID, d.RoleName, "CustomRole", []string{"/"}, []map[string][]string{{"DataActions": d.DataActions}}}
		text, err := json.Marshal(body)
		if err != nil {
			out.err = err
			return
		}
		out.line("verb=update; az cosmosdb sql role definition exists %s --id %s --output tsv | grep -qi true || verb=create", where, d.ID)
		out.line("az cosmosdb sql role definition \"$verb\" %s --body %s", where, shellQuote(string(text)))
	}
	for _, x := range a.Assignments {
		out.line("az cosmosdb sql role assignment exists %s --role-assignment-id %s --output tsv | grep -qi true ||", where, x.ID)
		out.line("  az cosmosdb sql role assignment create %s --role-assignment-id %s --role-definition-id %s --principal-id \"$%s\" --scope %s",
			where, x.ID, x.Definition, strings.ToUpper(names[x.Identity]), shellQuote(x.Scope))
	}
}

func clientNote(x exportedIdentity) string {
	if x.ClientID == "" {
		return ""
	}
	return " with client id " + shellWord(x.ClientID)
}

// shellWord keeps of a name what means nothing to a shell inside an expansion.
func shellWord(s string) string {
	return strings.Map(func(c rune) rune {
		if c == '-' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') {
			return c
		}
		return '_'
	}, s)
}

func bicepQuote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`, "${", `\${`).Replace(s) + "'"
}

func (a *exportedAccount) writeBicep(out *printer) {
	names := a.identifiers("principalId_")
	out.line("// Account %s: Cosmos DB role definitions and assignments of the gate's identities, and no more.", comment(a.Account))
	out.line("@description('Name of the Cosmos DB account.')\nparam accountName string")
	for _, x := range a.Identities {
		out.line("@description(%s)\nparam %s string", bicepQuote("Object id of the identity "+comment(x.Name)+"."), names[x.Name])
	}
	out.line("\nresource account 'Microsoft.DocumentDB/databaseAccounts@2024-05-15' existing = {\n  name: accountName\n}")
	symbols := map[string]string{}
	for _, d := range a.Definitions {
		symbols[d.ID] = identifier("definition_", d.ID)
		out.line("\nresource %s 'Microsoft.DocumentDB/databaseAccounts/sqlRoleDefinitions@2024-05-15' = {", symbols[d.ID])
		out.line("  parent: account\n  name: %s\n  properties: {\n    roleName: %s\n    type: 'CustomRole'", bicepQuote(d.ID), bicepQuote(d.RoleName))
		out.line("    assignableScopes: [account.id]\n    permissions: [\n      {\n        dataActions: [")
		for _, action := range d.DataActions {
			out.line("          %s", bicepQuote(action))
		}
		out.line("        ]\n      }\n    ]\n  }\n}")
	}
	for _, x := range a.Assignments {
		out.line("\n// %s on %s", comment(x.Identity), comment(x.Scope))
		out.line("resource %s 'Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments@2024-05-15' = {", identifier("assignment_", x.ID))
		scope := "account.id"
		if x.Scope != "/" {
			scope = "'${account.id}" + strings.TrimPrefix(bicepQuote(x.Scope), "'")
		}
		out.line("  parent: account\n  name: %s\n  properties: {\n    roleDefinitionId: %s.id\n    principalId: %s\n    scope: %s\n  }\n}",
			bicepQuote(x.ID), symbols[x.Definition], names[x.Identity], scope)
	}
}

func terraformQuote(s string) string {
	text := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "${", "$${", "%{", "%%{").Replace(s)
	return `"` + text + `"`
}

func (a *exportedAccount) writeTerraform(out *printer) {
	names := a.identifiers("principal_id_")
	out.line("# Account %s: Cosmos DB role definitions and assignments of the gate's identities, and no more.", comment(a.Account))
	variables := [][2]string{
		{"account_id", "Resource id of the Cosmos DB account."},
		{"account_name", "Name of the Cosmos DB account."},
		{"resource_group_name", "Resource group of the Cosmos DB account."},
	}
	for _, x := range a.Identities {
		variables = append(variables, [2]string{names[x.Name], "Object id of the identity " + comment(x.Name) + "."})
	}
	for _, v := range variables {
		out.line("\nvariable \"%s\" {\n  description = %s\n  type        = string\n}", v[0], terraformQuote(v[1]))
	}
	const account = "  resource_group_name = var.resource_group_name\n  account_name        = var.account_name"
	for _, d := range a.Definitions {
		out.line("\nresource \"azurerm_cosmosdb_sql_role_definition\" \"%s\" {", identifier("definition_", d.ID))
		out.line("  role_definition_id  = %s\n%s", terraformQuote(d.ID), account)
		out.line("  name                = %s\n  type                = \"CustomRole\"", terraformQuote(d.RoleName))
		out.line("  assignable_scopes   = [var.account_id]")
		out.line("\n  permissions {\n    data_actions = [")
		for _, action := range d.DataActions {
			out.line("      %s,", terraformQuote(action))
		}
		out.line("    ]\n  }\n}")
	}
	for _, x := range a.Assignments {
		scope := "var.account_id"
		if x.Scope != "/" {
			scope = `"${var.account_id}` + strings.TrimPrefix(terraformQuote(x.Scope), `"`)
		}
		out.line("\n# %s on %s", comment(x.Identity), comment(x.Scope))
		out.line("resource \"azurerm_cosmosdb_sql_role_assignment\" \"%s\" {", identifier("assignment_", x.ID))
		out.line("  name                = %s\n%s", terraformQuote(x.ID), account)
		out.line("  role_definition_id  = azurerm_cosmosdb_sql_role_definition.%s.id\n  principal_id        = var.%s\n  scope               = %s\n}",
			identifier("definition_", x.Definition), names[x.Identity], scope)
	}
}

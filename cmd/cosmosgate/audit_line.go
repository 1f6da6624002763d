package main

import (
	"fmt"
	"strings"
	"time"
)

// auditLine is the part of a record (docs/audit.md) that a table of requests shows.
type auditLine struct {
	Time      time.Time `json:"ts"`
	Principal struct {
		UserName    string `json:"user_name"`
		Application string `json:"application"`
		Subject     string `json:"subject"`
	} `json:"principal"`
	Actors []struct {
		Name string `json:"name"`
	} `json:"actors"`
	Operation string  `json:"operation"`
	Account   string  `json:"account"`
	Database  string  `json:"database"`
	Container string  `json:"container"`
	Decision  string  `json:"decision"`
	Reason    string  `json:"reason"`
	Role      string  `json:"role"`
	Identity  string  `json:"identity"`
	Status    int     `json:"status"`
	Substatus int     `json:"substatus"`
	Charge    float64 `json:"request_charge"`
}

// row returns the record as a row of a table; nothing for an answered account read, which every SDK begins with.
func (l *auditLine) row() []string {
	if l.Container == "" && l.Decision == "allow" {
		return nil
	}
	who, _, _ := strings.Cut(l.Principal.UserName, "@")
	for _, other := range []string{l.Principal.Application, l.Principal.Subject, "-"} {
		if who == "" {
			who = other
		}
	}
	if len(l.Actors) > 0 {
		who = l.Actors[0].Name + " for " + who
	}
	status := fmt.Sprint(l.Status)
	if l.Substatus != 0 {
		status = fmt.Sprintf("%d/%d", l.Status, l.Substatus)
	}
	decision := l.Decision
	if l.Reason != "" && l.Decision != "allow" {
		decision += " (" + l.Reason + ")"
	}
	return []string{
		l.Time.Format("15:04:05.000"), who, dash(l.Operation), strings.TrimRight(strings.Join([]string{l.Account, l.Database, l.Container}, "/"), "/"),
		decision, dash(l.Role), dash(l.Identity), status, fmt.Sprintf("%.2f", l.Charge),
	}
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

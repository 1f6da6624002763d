package main

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cosmosgate/cosmosgate/policy"
)

// testedCase is one case of a PolicyTest as policy test prints it.
type testedCase struct {
	Test    string `json:"test"`
	Case    int    `json:"case"`
	Passed  bool   `json:"passed"`
	Place   string `json:"place"`
	Failure string `json:"failure,omitempty"`
}

const outputJUnit = "junit"

var errPolicyTests = errors.New("the policy does not do what its tests say")

func newPolicyTest() *cobra.Command {
	var source policySource
	var output string
	cmd := &cobra.Command{
		Use:   "test PATH...",
		Short: "Run the tests of a policy",
		Long: `Runs the PolicyTest documents of files and folders against the roles, bindings and guardrails in them.
Exit code 1: a case failed, or there are none.`,
		Example: "  cosmosgate policy test policy/\n  cosmosgate policy test policy/ -o junit > report.xml",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, paths []string) error {
			now, err := source.now()
			if err != nil {
				return err
			}
			set, err := source.load(cmd, paths...)
			if err != nil {
				return err
			}
			return reportTests(cmd.OutOrStdout(), output, set.Test(now))
		},
	}
	source.flags(cmd)
	source.timeFlag(cmd)
	outputFlag(cmd, &output, outputTable, outputJSON, outputJUnit)
	return cmd
}

func reportTests(w io.Writer, output string, results []policy.TestResult) error {
	cases := make([]testedCase, len(results))
	failures := 0
	for i, r := range results {
		cases[i] = testedCase{r.Test, r.Case, r.Passed, r.Position.String(), r.Failure}
		if !r.Passed {
			failures++
		}
	}
	var err error
	switch output {
	case outputJSON:
		err = printJSON(w, cases)
	case outputJUnit:
		err = printJUnit(w, cases, failures)
	default:
		err = printCases(w, cases)
	}
	switch {
	case err != nil:
		return err
	case len(cases) == 0:
		return failed(fmt.Errorf("%w: it has none", errPolicyTests), "add a PolicyTest document, see docs/policy.md")
	case failures > 0:
		return failed(fmt.Errorf("%w: %d of %d cases failed", errPolicyTests, failures, len(cases)),
			"cosmosgate policy explain says why a request is decided as it is")
	default:
		return nil
	}
}

func printCases(w io.Writer, cases []testedCase) error {
	t := table{titles: []string{"RESULT", "TEST", "CASE", "PLACE", "FAILURE"}}
	for _, c := range cases {
		result := "pass"
		if !c.Passed {
			result = "FAIL"
		}
		t.add(result, c.Test, strconv.Itoa(c.Case), c.Place, c.Failure)
	}
	return t.write(w)
}

// The form that continuous integration reads.
type junitSuites struct {
	XMLName  xml.Name     `xml:"testsuites"`
	Tests    int          `xml:"tests,attr"`
	Failures int          `xml:"failures,attr"`
	Suites   []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Class   string        `xml:"classname,attr"`
	Name    string        `xml:"name,attr"`
	Failure *junitFailure `xml:"failure"`
}

type junitFailure struct {
	Message string `xml:"message,attr"`
	Place   string `xml:",chardata"`
}

func printJUnit(w io.Writer, cases []testedCase, failures int) error {
	report := junitSuites{Tests: len(cases), Failures: failures}
	for _, c := range cases {
		last := len(report.Suites) - 1
		if last < 0 || report.Suites[last].Name != c.Test {
			report.Suites = append(report.Suites, junitSuite{Name: c.Test})
			last++
		}
		suite := &report.Suites[last]
		suite.Tests++
		one := junitCase{Class: c.Test, Name: "case " + strconv.Itoa(c.Case) + " at " + c.Place}
		if !c.Passed {
			suite.Failures++
			one.Failure = &junitFailure{Message: c.Failure, Place: c.Place}
		}
		suite.Cases = append(suite.Cases, one)
	}
	out := &printer{w: w}
	out.line("%s", strings.TrimSpace(xml.Header))
	text, err := xml.MarshalIndent(report, "", "  ")
	if err != nil {
		return failed(fmt.Errorf("encoding the report: %w", err), "")
	}
	out.line("%s", text)
	return out.done()
}

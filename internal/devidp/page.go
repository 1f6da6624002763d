package devidp

import (
	"html/template"
	"net/http"
	"net/url"
)

// page asks who somebody wants to be.
type page struct {
	Title  string
	Action string
	// Hidden is sent along with the choice.
	Hidden url.Values
	// AskUserCode adds a field for the code that a device shows.
	AskUserCode bool
	// Done replaces the question.
	Done   string
	People []Person
}

const pageText = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Title}}</title>
<style>
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 26rem; margin: 4rem auto; padding: 0 1rem }
button { display: block; width: 100%; margin: .5rem 0; padding: .7rem; font: inherit; text-align: left; cursor: pointer }
.warning { border-left: .3rem solid #b45309; padding-left: .8rem }
</style>
<h1>{{.Title}}</h1>
<p class="warning">Development identity provider: whoever is here may be anybody. No passwords, no secrets.</p>
{{if .Done}}<p>{{.Done}}</p>{{else}}<form method="post" action="{{.Action}}">
{{range $name, $values := .Hidden}}{{range $values}}<input type="hidden" name="{{$name}}" value="{{.}}">
{{end}}{{end}}{{if .AskUserCode}}<p><label>Code on the device: <input name="user_code" autocomplete="off" required></label></p>
{{end}}{{range .People}}<button name="person" value="{{.Name}}">{{.DisplayName}} <small>({{.Name}})</small></button>
{{end}}</form>{{end}}
</html>
`

// showPeople writes the page.
func (p *Provider) showPeople(w http.ResponseWriter, shown page) {
	shown.People = p.config.People

	parsed, err := template.New("page").Parse(pageText)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)

		return
	}

	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = parsed.Execute(w, shown) // nothing to tell a browser that has gone
}

// Package browser signs in to a development gate as a person does: in a real browser, on the provider's page.
package browser

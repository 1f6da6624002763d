package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/cosmosgate/cosmosgate/internal/config"
	"github.com/cosmosgate/cosmosgate/scim"
)

func (g *gate) newSCIMServer() (http.Handler, error) {
	var err error
	if g.tokens, err = newConnectionTokens(&g.cfg, g.directory, time.Now); err != nil {
		return nil, err
	}
	if len(g.cfg.Connections) == 0 {
		return http.NotFoundHandler(), nil
	}
	public, err := url.Parse(g.cfg.SCIM.PublicURL)
	if err != nil {
		return nil, fmt.Errorf("scim.public_url: %w", err)
	}
	c := scim.Config{Directory: g.directory, Tokens: g.tokens, PublicURL: public, Clock: time.Now, Logger: g.log}
	for i := range g.cfg.Connections {
		x := &g.cfg.Connections[i]
		c.Connections = append(c.Connections, scim.Connection{
			Name: x.Name, Dialect: x.Dialect, Strict: x.Strict, Rate: x.Rate.RPS, Burst: x.Rate.Burst,
			SilentAfter: x.SilentAfter, Extensions: ownSchemas(g.cfg.SCIM.Schemas),
		})
	}
	if g.scim, err = scim.New(c); err != nil {
		return nil, fmt.Errorf("preparing SCIM: %w", err)
	}
	return g.scim, nil
}

// ownSchemas are the attributes of people that the configuration adds to the RFC's.
func ownSchemas(configured []config.Schema) []scim.Schema {
	var all []scim.Schema
	for i := range configured {
		s := scim.Schema{ID: configured[i].URN, Name: configured[i].Name, Description: configured[i].Description}
		for _, a := range configured[i].Attributes {
			s.Attributes = append(s.Attributes, &scim.Attribute{
				Name: a.Name, Type: scim.Type(a.Type), MultiValued: a.MultiValued, CaseExact: a.CaseExact, Description: a.Description, Policy: a.Policy,
			})
		}
		all = append(all, s)
	}
	return all
}

// watchSCIM looks after the connections until ctx ends.
func (g *gate) watchSCIM(ctx context.Context) error {
	if g.scim == nil {
		<-ctx.Done()
		return nil
	}
	return g.scim.Run(ctx) //nolint:wrapcheck // it only ends with ctx
}

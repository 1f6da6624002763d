package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// control gives an order to the running stand-in, which takes them from
// whoever has the account's key.
func (t *target) control(ctx context.Context, method, what string, order, answer any) error {
	body, err := json.Marshal(order)
	if err != nil {
		return fmt.Errorf("writing an order: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, method, t.Emulator.Endpoint+"_stand-in/"+what, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("ordering %s: %w", what, err)
	}
	request.Header.Set("Authorization", "Bearer "+t.Emulator.Key)
	client, err := t.transport()
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("ordering %s: %w", what, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("ordering %s: %w", what, err)
	}
	if response.StatusCode >= http.StatusMultipleChoices {
		return fmt.Errorf("ordering %s: %s: %s", what, response.Status, text)
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return fmt.Errorf("ordering %s: %w", what, err)
	}
	return nil
}

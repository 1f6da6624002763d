package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
)

// The clients below are programs of their own, run by scripts: they know nothing but the connection that `cosmosgate connect -o json`
// wrote to the file they are given.

func readConnection() *connection {
	text, err := os.ReadFile(os.Args[1])
	if err != nil {
		giveUp(err)
	}
	c := new(connection)
	if err := json.Unmarshal(text, c); err != nil {
		giveUp(err)
	}
	return c
}

func giveUp(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// trusting trusts the certificate of the connection and nothing else.
func trusting(c *connection) *http.Transport {
	t := &http.Transport{}
	if c.Certificate != "" {
		pem, err := os.ReadFile(c.Certificate)
		if err != nil {
			giveUp(err)
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(pem)
		t.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	return t
}

// sdkClient FILE is azcosmos with a connection string: it queries orders of emea and prints their ids.
func sdkClient() {
	c := readConnection()
	client, err := azcosmos.NewClientFromConnectionString(c.ConnectionString, &azcosmos.ClientOptions{ClientOptions: azcore.ClientOptions{
		Transport: &http.Client{Transport: trusting(c)}, Retry: policy.RetryOptions{MaxRetries: -1},
	}})
	if err != nil {
		giveUp(err)
	}
	orders, err := client.NewContainer("shop", "orders")
	if err != nil {
		giveUp(err)
	}
	for pages := orders.NewQueryItemsPager("SELECT c.id FROM c", azcosmos.NewPartitionKeyString("emea"), nil); pages.More(); {
		page, err := pages.NextPage(context.Background())
		if err != nil {
			giveUp(err)
		}
		for _, item := range page.Items {
			fmt.Fprintln(os.Stdout, string(item))
		}
	}
}

// keyClient FILE [SOCKET] is a tool that knows only account keys: it signs by itself, and reads one order.
func keyClient() {
	c := readConnection()
	transport := trusting(c)
	if len(os.Args) > 2 {
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", os.Args[2])
		}
	}
	const link = "dbs/shop/colls/orders/docs/1001"
	r, err := http.NewRequest(http.MethodGet, c.Endpoint+link, http.NoBody)
	if err != nil {
		giveUp(err)
	}
	key, err := base64.StdEncoding.DecodeString(c.Key)
	if err != nil {
		giveUp(err)
	}
	date := time.Now().UTC().Format(http.TimeFormat)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("get\ndocs\n" + link + "\n" + strings.ToLower(date) + "\n\n"))
	r.Header.Set("X-Ms-Date", date)
	r.Header.Set("X-Ms-Version", "2020-07-15")
	r.Header.Set("X-Ms-Documentdb-Partitionkey", `["emea"]`)
	r.Header.Set("Authorization", url.QueryEscape("type=master&ver=1.0&sig="+base64.StdEncoding.EncodeToString(mac.Sum(nil))))
	resp, err := (&http.Client{Transport: transport}).Do(r)
	if err != nil {
		giveUp(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		giveUp(err)
	}
	fmt.Fprintln(os.Stdout, resp.StatusCode, string(body))
}

//go:build linux

package fleet

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// central is a fleet manager: osquery's remote API over TLS, with what the hosts sent.
// Nothing of it knows whether a real osqueryd is at the other end.
type central struct {
	address string // "localhost:port"
	ca      []byte // PEM
	secret  string

	mu     sync.Mutex
	keys   map[string]string // host by node key
	hosts  map[string]*host
	asked  int
	closed bool
	news   chan struct{} // closed and replaced whenever something arrives
}

// host is one enrolled host.
type host struct {
	name    string
	config  any
	fetched int // configurations it fetched since the last change
	rows    []row
	waiting map[string]string // id to SQL
	answers map[string]answer
	enrols  int
}

// row is one line of the central results log.
type row struct {
	Name           string            `json:"name"`
	HostIdentifier string            `json:"hostIdentifier"`
	Action         string            `json:"action"`
	Columns        map[string]string `json:"columns"`

	received time.Time
}

type answer struct {
	rows   []map[string]string
	status string
	text   string
}

// startCentral serves until the test ends.
func startCentral(t *testing.T) *central {
	t.Helper()
	c := &central{secret: "one-secret-for-all", keys: map[string]string{}, hosts: map[string]*host{}, news: make(chan struct{})}
	ca, cert, err := certificates()
	if err != nil {
		t.Fatal(err)
	}
	c.ca = ca
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c.address = "localhost:" + port
	mux := http.NewServeMux()
	mux.HandleFunc("POST /enroll", c.enroll)
	mux.HandleFunc("POST /config", c.known(c.configure))
	mux.HandleFunc("POST /log", c.known(c.log))
	mux.HandleFunc("POST /read", c.known(c.read))
	mux.HandleFunc("POST /write", c.known(c.write))
	server := &http.Server{
		Handler:   c.door(mux),
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12},
		// osquery speaks HTTP/1.1.
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
		ErrorLog:     log.New(io.Discard, "", 0), // hosts that hang up are no news
	}
	ended := make(chan error, 1)
	go func() { ended <- server.ServeTLS(listener, "", "") }()
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("central: %v", err)
		}
	})
	return c
}

// certificates makes a CA, as PEM, and a certificate for this host signed by it.
func certificates() (ca []byte, cert tls.Certificate, err error) {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, cert, err
	}
	now := time.Now()
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test fleet CA"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	rootDER, err := x509.CreateCertificate(rand.Reader, root, root, &caKey.PublicKey, caKey)
	if err != nil {
		return nil, cert, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, cert, err
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "localhost"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, root, &key.PublicKey, caKey)
	if err != nil {
		return nil, cert, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: rootDER}),
		tls.Certificate{Certificate: [][]byte{leafDER, rootDER}, PrivateKey: key}, nil
}

// maxBody bounds what a host sends at once.
const maxBody = 64 << 20

func decode(r *http.Request, v any) error {
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(body)
		if err != nil {
			return err
		}
		body = z
	}
	return json.NewDecoder(io.LimitReader(body, maxBody)).Decode(v)
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

func (c *central) changed() {
	close(c.news)
	c.news = make(chan struct{})
}

func (c *central) enroll(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Secret string `json:"enroll_secret"`
		Host   string `json:"host_identifier"`
	}
	if err := decode(r, &in); err != nil || in.Secret != c.secret || in.Host == "" {
		reply(w, map[string]any{"node_invalid": true})
		return
	}
	raw := make([]byte, 16)
	_, _ = rand.Read(raw)
	key := hex.EncodeToString(raw)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keys[key] = in.Host
	h := c.host(in.Host)
	h.enrols++
	c.changed()
	reply(w, map[string]any{"node_key": key, "node_invalid": false})
}

// host is called with mu held.
func (c *central) host(name string) *host {
	h := c.hosts[name]
	if h == nil {
		h = &host{name: name, config: map[string]any{}, waiting: map[string]string{}, answers: map[string]answer{}}
		c.hosts[name] = h
	}
	return h
}

// message is what an enrolled host sends.
type message struct {
	Key      string                     `json:"node_key"`
	Type     string                     `json:"log_type"`
	Data     json.RawMessage            `json:"data"`
	Queries  map[string]json.RawMessage `json:"queries"`
	Statuses map[string]json.RawMessage `json:"statuses"`
	Messages map[string]string          `json:"messages"`
}

// known answers hosts that have enrolled, and sends the others to enroll.
func (c *central) known(serve func(*host, message) any) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var in message
		if err := decode(r, &in); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		name, ok := c.keys[in.Key]
		if !ok {
			reply(w, map[string]any{"node_invalid": true})
			return
		}
		reply(w, serve(c.host(name), in))
		c.changed()
	}
}

func (c *central) configure(h *host, _ message) any {
	h.fetched++
	return h.config
}

func (c *central) log(h *host, in message) any {
	if in.Type == "result" {
		var rows []row
		if err := json.Unmarshal(in.Data, &rows); err != nil {
			return map[string]any{"error": err.Error()}
		}
		for i := range rows {
			rows[i].received = time.Now()
		}
		h.rows = append(h.rows, rows...)
	}
	return map[string]any{}
}

func (c *central) read(h *host, _ message) any {
	out := h.waiting
	h.waiting = map[string]string{}
	return map[string]any{"queries": out}
}

func (c *central) write(h *host, in message) any {
	for id, raw := range in.Queries {
		a := answer{status: string(bytes.Trim(in.Statuses[id], `"`)), text: in.Messages[id]}
		// An empty result may be an empty text.
		_ = json.Unmarshal(raw, &a.rows)
		h.answers[id] = a
	}
	return map[string]any{}
}

// push gives a host another configuration; with the whole of it the host's options and
// views change.
func (c *central) push(name string, config any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.host(name)
	h.config, h.fetched = config, 0
}

// wait returns when ok holds, which is looked at with mu held whenever something
// arrives, and whether it did within limit.
func (c *central) wait(limit time.Duration, ok func() bool) bool {
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	for {
		c.mu.Lock()
		done, news := ok(), c.news
		c.mu.Unlock()
		if done {
			return true
		}
		select {
		case <-news:
		case <-deadline.C:
			return false
		}
	}
}

// ask runs SQL on a host as a distributed query.
func (c *central) ask(name, sql string, limit time.Duration) ([]map[string]string, error) {
	c.mu.Lock()
	c.asked++
	id := fmt.Sprintf("q%d", c.asked)
	h := c.host(name)
	h.waiting[id] = sql
	c.mu.Unlock()
	var a answer
	if !c.wait(limit, func() (found bool) { a, found = h.answers[id]; return found }) {
		return nil, fmt.Errorf("%s did not answer within %v: %s", name, limit, sql)
	}
	if a.status != "0" {
		return nil, fmt.Errorf("%s: status %s, %s: %s", name, a.status, a.text, sql)
	}
	return a.rows, nil
}

// logged are the rows of one scheduled query of the pack that a host sent.
func (c *central) logged(name, query string) []row {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.host(name).of(query)
}

func (h *host) of(query string) []row {
	var out []row
	for _, r := range h.rows {
		if r.Name == "pack_t1007_"+query {
			out = append(out, r)
		}
	}
	return out
}

// away makes central refuse everybody, or not any more.
func (c *central) away(away bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = away
}

func (c *central) isAway() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// door lets nobody in while central is away.
func (c *central) door(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c.isAway() {
			http.Error(w, "away", http.StatusServiceUnavailable)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// client speaks to the central as an agent does.
func (c *central) client() *http.Client {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(c.ca)
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}
}

// call posts one message.
func call(ctx context.Context, client *http.Client, url string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	return json.NewDecoder(io.LimitReader(resp.Body, maxBody)).Decode(out)
}

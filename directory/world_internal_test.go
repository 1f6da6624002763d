package directory

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// The world is a large directory: a million people in a hundred thousand
// groups, ten million memberships, a group that everybody is in, and groups in
// groups. Its file is made once, by TestBuildWorld, and then measured by
// BenchmarkWorld in a process of its own:
//
//	COSMOSGATE_WORLD=/tmp/world.db go test ./directory -run TestBuildWorld -timeout 30m -v
//	COSMOSGATE_WORLD=/tmp/world.db go test ./directory -run '^$' -bench World -benchtime 3s -timeout 30m
//
// COSMOSGATE_WORLD_USERS makes it smaller.
const (
	worldFile  = "COSMOSGATE_WORLD"
	worldUsers = "COSMOSGATE_WORLD_USERS"
	worldCorp  = "corp"
)

// worldSize returns the numbers of users, groups and memberships.
func worldSize(tb testing.TB) (users, groups, memberships int) {
	tb.Helper()
	users = 1_000_000
	if s := os.Getenv(worldUsers); s != "" {
		var err error
		if users, err = strconv.Atoi(s); err != nil {
			tb.Fatal(err)
		}
	}
	return users, users / 10, users * 10
}

// worldKey returns the id of the nth record: a UUIDv7 as the directory makes
// them, users before groups.
func worldKey(n int) recordKey {
	var k recordKey
	binary.BigEndian.PutUint64(k[:], uint64(0x0199_0000_0000+n)<<16|0x7000)
	binary.BigEndian.PutUint64(k[8:], 0x8000_0000_0000_0000|uint64(n)*0x9e3779b97f4a7c15>>2)
	return k
}

func worldExternalID(n int) string {
	x := uint64(n) * 0x9e3779b97f4a7c15
	return fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", x>>32, x&0xffff, x>>20&0xfff, x>>8&0xfff, n)
}

// worldUser is a person as a provider pushes one: a document of 700 bytes.
func worldUser(n int) User {
	name := fmt.Sprintf("given%d.family%d@corp.example", n, n%5000)
	department, title, number := fmt.Sprintf("department %d", n%300), fmt.Sprintf("title %d", n%80), strconv.Itoa(100000+n)
	const enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
	document := fmt.Sprintf(`{"userName":%q,"externalId":%q,"active":true,"displayName":"Given%d Family%d",`+
		`"name":{"givenName":"Given%d","familyName":"Family%d","formatted":"Given%d Family%d"},"title":%q,`+
		`"preferredLanguage":"en-GB","emails":[{"value":%q,"type":"work","primary":true}],`+
		`"phoneNumbers":[{"value":"+44 20 7946 %04d","type":"work"}],"addresses":[{"type":"work","locality":"London",`+
		`"country":"GB","formatted":"%d High Street, London"}],%q:{"department":%q,"employeeNumber":%q,`+
		`"manager":{"value":%q}}}`, name, worldExternalID(n), n, n%5000, n, n%5000, n, n%5000, title, name, n%10000, n%400,
		enterprise, department, number, worldKey(n/10).id())
	return User{
		ID: worldKey(n).id(), Connection: worldCorp, UserName: name, ExternalID: worldExternalID(n), Active: true,
		Emails: []string{name}, Document: []byte(document), Revision: 1, Created: time.UnixMilli(1_750_000_000_000),
		Attributes: map[string]string{
			"title": title, "department": department, enterprise + ":department": department, enterprise + ":employeeNumber": number,
		},
	}
}

// TestBuildWorld makes the file if it isn't there.
func TestBuildWorld(t *testing.T) { //nolint:paralleltest // it takes the machine
	path := os.Getenv(worldFile)
	if path == "" {
		t.Skip(worldFile + " names no file")
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Skip("the file is there", err)
	}
	started := time.Now()
	if err := buildBolt(path, func(each func(Delta) error) (uint64, error) { return 1, worldDeltas(t, each) }); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d MiB in %s", info.Size()>>20, time.Since(started).Round(time.Second))
}

func worldDeltas(t *testing.T, each func(Delta) error) error {
	t.Helper()
	users, groups, memberships := worldSize(t)
	at := func(d Delta) Delta { d.Version, d.Time = 1, time.UnixMilli(1_760_000_000_000); return d }
	for n := range users {
		if err := each(at(userDelta(worldUser(n)))); err != nil {
			return err
		}
	}
	random := mathrand.New(mathrand.NewPCG(1, 2))
	for g := range groups {
		record := GroupRecord{
			ID: worldKey(users + g).id(), Connection: worldCorp, DisplayName: fmt.Sprintf("group %d", g), ExternalID: worldExternalID(users + g),
			Document: fmt.Appendf(nil, `{"displayName":"group %d","externalId":%q}`, g, worldExternalID(users+g)),
			Revision: 1, Created: time.UnixMilli(1_750_000_000_000),
		}
		if err := each(at(groupDelta(record))); err != nil {
			return err
		}
	}
	for g := range groups {
		var members []int
		if g == 0 {
			for n := range users {
				members = append(members, n)
			}
		}
		for range (memberships - users) / (groups - 1) {
			members = append(members, random.IntN(users))
		}
		if g > 0 && g%100 == 0 { // a group in a group
			members = append(members, users+g-1)
		}
		slices.Sort(members)
		payload := make([]byte, 0, len(members)*idSize)
		for _, n := range slices.Compact(members) {
			key := worldKey(n)
			payload = append(payload, key[:]...)
		}
		if err := each(at(Delta{Kind: KindAddMembers, Connection: worldCorp, Subject: string(worldKey(users + g).id()), Revision: 2, Payload: payload})); err != nil {
			return err
		}
	}
	return nil
}

// resident returns the process's anonymous and file-backed pages in MiB.
func resident(tb testing.TB) (anonymous, file float64) {
	tb.Helper()
	f, err := os.Open("/proc/self/status")
	if err != nil {
		tb.Skip("no /proc here")
	}
	defer func() { _ = f.Close() }()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 {
			continue
		}
		kib, _ := strconv.ParseFloat(fields[1], 64)
		switch fields[0] {
		case "RssAnon:":
			anonymous = kib / 1024
		case "RssFile:":
			file = kib / 1024
		}
	}
	return anonymous, file
}

// processorTime returns what the process has used of the processors.
func processorTime(tb testing.TB) time.Duration {
	tb.Helper()
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		tb.Skip("no /proc here")
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	ticks := 0
	for _, f := range fields[11:13] { // utime and stime, in hundredths of a second
		n, _ := strconv.Atoi(f)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// BenchmarkWorld opens the world and measures it. Its parts follow each other
// on one open directory; boot and memory are measured once.
func BenchmarkWorld(b *testing.B) {
	path := os.Getenv(worldFile)
	if path == "" {
		b.Skip(worldFile + " names no file")
	}
	started, used := time.Now(), processorTime(b)
	d, err := Open(Config{Path: path, Clock: time.Now, Random: rand.Reader, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	boot := time.Since(started)
	used = processorTime(b) - used
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	defer func() {
		cancel()
		if err := errors.Join(<-done, d.Close()); err != nil {
			b.Error(err)
		}
	}()
	w := &worldBench{Directory: d}
	w.users, _, _ = worldSize(b)
	b.Run("boot and memory", func(b *testing.B) {
		for b.Loop() { // measured once, above
		}
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(boot.Seconds(), "boot-s")
		b.ReportMetric(used.Seconds(), "boot-cpu-s")
		anonymous, file := resident(b)
		b.ReportMetric(anonymous, "anon-MiB-at-boot")
		b.ReportMetric(file, "file-MiB-at-boot")
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		b.ReportMetric(float64(m.HeapAlloc)/(1<<20), "heap-MiB")
	})
	b.Run("lookup", w.lookup)
	b.Run("lookup while 1000 writes a second run", w.lookupBesideWrites)
	b.Run("lookup never seen before", w.firstLookup)
	b.Run("membership probe in the largest group", w.probe)
	b.Run("member of the largest group", w.member)
	b.Run("member of a small group", w.smallMember)
	for _, callers := range []int{1, 25} {
		b.Run(fmt.Sprintf("apply by %d", callers), func(b *testing.B) { w.apply(b, callers) })
	}
	b.Run("memory after everybody was looked up", w.memory)
}

type worldBench struct {
	*Directory

	users int
	calls atomic.Uint64
}

func (w *worldBench) someone() int {
	return int(w.calls.Add(1) * 0x9e3779b97f4a7c15 >> 20 % uint64(w.users))
}

func (w *worldBench) keys(n int) []LinkKey {
	keys := make([]LinkKey, n)
	for i := range keys {
		keys[i] = LinkKey{worldCorp, worldExternalID(w.someone())}
	}
	return keys
}

// active is how many people are looked up again and again.
const active = 1 << 16

// each looks people up and reports the quantiles, which include reading the
// clock.
func (w *worldBench) each(b *testing.B, keys []LinkKey) {
	b.Helper()
	took := make([]time.Duration, 0, 1<<22)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		start := time.Now()
		if _, ok := w.Lookup(keys[i%len(keys)]); !ok {
			b.Fatal("missing")
		}
		if d := time.Since(start); len(took) < cap(took) {
			took = append(took, d)
		}
	}
	quantiles(b, took)
}

func quantiles(b *testing.B, took []time.Duration) {
	b.Helper()
	if len(took) == 0 {
		return
	}
	slices.Sort(took)
	for name, at := range map[string]float64{"p50-ns": 0.5, "p99-ns": 0.99, "p99.9-ns": 0.999} {
		b.ReportMetric(float64(took[int(at*float64(len(took)-1))].Nanoseconds()), name)
	}
}

func (w *worldBench) lookup(b *testing.B) {
	keys := w.keys(active)
	for _, k := range keys {
		w.Lookup(k)
	}
	w.each(b, keys)
}

func (w *worldBench) lookupBesideWrites(b *testing.B) {
	keys := w.keys(active)
	for _, k := range keys {
		w.Lookup(k)
	}
	stop := make(chan struct{})
	var writers sync.WaitGroup
	var writes atomic.Int64
	for range 4 {
		writers.Go(func() {
			tick := time.NewTicker(4 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-stop:
					return
				case <-tick.C:
				}
				w.toggle(b, w.someone())
				writes.Add(1)
			}
		})
	}
	started := time.Now()
	w.each(b, keys)
	b.ReportMetric(float64(writes.Load())/time.Since(started).Seconds(), "writes/s")
	close(stop)
	writers.Wait()
}

func (w *worldBench) firstLookup(b *testing.B) { w.each(b, w.keys(w.users/2)) }

func (w *worldBench) toggle(b *testing.B, n int) {
	b.Helper()
	_, err := w.Apply(context.Background(), worldCorp, EditUser{ID: worldKey(n).id(), Edit: func(u User) (User, error) {
		u.Active = !u.Active
		return u, nil
	}})
	if err != nil {
		b.Error(err)
	}
}

func (w *worldBench) probe(b *testing.B) {
	group, member := worldKey(w.users).id(), worldKey(w.users/2).id() // not the one that comes and goes
	b.ReportAllocs()
	for b.Loop() {
		if !w.IsMember(group, member) {
			b.Fatal("no member")
		}
	}
}

func (w *worldBench) member(b *testing.B)      { w.changeMember(b, worldKey(w.users).id()) }
func (w *worldBench) smallMember(b *testing.B) { w.changeMember(b, worldKey(w.users+7).id()) }

func (w *worldBench) changeMember(b *testing.B, group ID) {
	b.Helper()
	var took []time.Duration
	member := []ID{worldKey(w.users / 3).id()}
	for i := 0; b.Loop(); i++ {
		change := Change(RemoveMembers{Group: group, Members: member})
		if i%2 == 1 {
			change = AddMembers{Group: group, Members: member}
		}
		start := time.Now()
		if _, err := w.Apply(context.Background(), worldCorp, change); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(start))
	}
	quantiles(b, took)
}

func (w *worldBench) apply(b *testing.B, callers int) {
	b.Helper()
	var mu sync.Mutex
	var took []time.Duration
	var wait sync.WaitGroup
	b.ResetTimer()
	for c := range callers {
		wait.Go(func() {
			for i := c; i < b.N; i += callers {
				start := time.Now()
				w.toggle(b, w.someone())
				d := time.Since(start)
				mu.Lock()
				took = append(took, d)
				mu.Unlock()
			}
		})
	}
	wait.Wait()
	quantiles(b, took)
}

func (w *worldBench) memory(b *testing.B) {
	for n := range w.users {
		w.Lookup(LinkKey{worldCorp, worldExternalID(n)})
	}
	for b.Loop() { // once is enough
	}
	b.ReportMetric(0, "ns/op")
	anonymous, file := resident(b)
	b.ReportMetric(anonymous, "anon-MiB")
	b.ReportMetric(file, "file-MiB")
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(m.HeapAlloc)/(1<<20), "heap-MiB")
}

// BenchmarkSync overwrites a page of a file and syncs it, as every commit has
// to: what the disk alone takes at the moment.
func BenchmarkSync(b *testing.B) {
	f, err := os.Create(filepath.Join(b.TempDir(), "pages"))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	const size = 4 << 20
	if _, err := f.Write(make([]byte, size)); err != nil {
		b.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		b.Fatal(err)
	}
	var took []time.Duration
	page := make([]byte, pageBytes)
	for i := int64(0); b.Loop(); i++ {
		start := time.Now()
		if _, err := f.WriteAt(page, i*pageBytes%size); err != nil {
			b.Fatal(err)
		}
		if err := syncData(f); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(start))
	}
	quantiles(b, took)
}

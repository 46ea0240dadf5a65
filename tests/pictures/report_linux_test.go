package pictures

import (
	"bytes"
	"cmp"
	"image"
	"image/color"
	"image/png"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/osquery-rollcall/rollcall/tests/programs"
)

// TestReportPicture draws the picture of a report with -update and Chromium: "make
// pictures". A browser's pixels are its own, so they are compared with nothing.
func TestReportPicture(t *testing.T) {
	if !*update {
		t.Skip("NOT TESTED: docs/report.png is drawn with -update alone (make pictures)")
	}
	browser, err := exec.LookPath(cmp.Or(os.Getenv("CHROMIUM"), "chromium"))
	if err != nil {
		t.Fatal("there is no Chromium to draw docs/report.png with (apt-get install chromium, or name one in CHROMIUM): ", err)
	}
	dir := t.TempDir()
	if err := programs.Build(root, dir, programs.Command); err != nil {
		t.Fatal(err)
	}
	program, err := filepath.Abs(filepath.Join(dir, programs.Command))
	if err != nil {
		t.Fatal(err)
	}
	page, shot := filepath.Join(dir, "report.html"), filepath.Join(dir, "report.png")
	run(t, program, "report", "--from", "evidence", "--title", "The example", "--out", page)
	args := []string{"--headless=new", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--user-data-dir=" + filepath.Join(dir, "browser"), "--window-size=1160,1560", "--screenshot=" + shot, "file://" + page}
	if os.Geteuid() == 0 {
		args = append([]string{"--no-sandbox"}, args...) // root can't have it; the page is our own
	}
	if out, err := exec.Command(browser, args...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	data, err := os.ReadFile(shot)
	if err != nil {
		t.Fatal(err)
	}
	big, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	var small bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&small, fewColours(big)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "docs/report.png"), small.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes of %d", small.Len(), len(data))
}

// fewColours keeps the most frequent colours of a picture, and of the others the
// nearest of these.
func fewColours(m image.Image) *image.Paletted {
	const most = 64
	count := map[color.RGBA]int{}
	b := m.Bounds()
	at := func(x, y int) color.RGBA { return color.RGBAModel.Convert(m.At(x, y)).(color.RGBA) }
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			count[at(x, y)]++
		}
	}
	all := slices.SortedFunc(maps.Keys(count), func(a, b color.RGBA) int {
		return cmp.Or(cmp.Compare(count[b], count[a]), cmp.Compare(a.R, b.R), cmp.Compare(a.G, b.G), cmp.Compare(a.B, b.B))
	})
	var palette color.Palette
	for _, c := range all[:min(most, len(all))] {
		palette = append(palette, c)
	}
	out := image.NewPaletted(b, palette)
	index := map[color.RGBA]uint8{}
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			c := at(x, y)
			i, ok := index[c]
			if !ok {
				i = uint8(palette.Index(c))
				index[c] = i
			}
			out.SetColorIndex(x, y, i)
		}
	}
	return out
}

// TestREADME: its pictures are there, are small, and have words for who can't see them.
func TestREADME(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`!\[([^\]]*)\]\(([^)]+)\)`).FindAllSubmatch(text, -1)
	if len(found) < 2 {
		t.Errorf("the README has %d pictures", len(found))
	}
	for _, m := range found {
		data, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(string(m[2]))))
		if err != nil {
			t.Error(err)
			continue
		}
		const most = 200 << 10
		if len(m[1]) < 20 || len(data) > most {
			t.Errorf("%s: %d bytes, %q", m[2], len(data), m[1])
		}
		if filepath.Ext(string(m[2])) == ".png" {
			if _, err := png.Decode(bytes.NewReader(data)); err != nil {
				t.Errorf("%s: %v", m[2], err)
			}
		}
	}
}

package main

import (
	"archive/tar"
	"archive/zip"
	"compress/flate"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"
)

// staged calls fn for every file and folder below dir, in the order of their names.
func staged(dir string, fn func(rel string, d fs.DirEntry) error) error {
	return filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == dir {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		return fn(filepath.ToSlash(rel), d)
	})
}

func modeOf(d fs.DirEntry) int64 {
	if d.IsDir() || program(d.Name()) {
		return 0o755
	}
	return 0o644
}

// tarball writes dir as a .tar.gz in which all lies in one folder, root's.
func tarball(w io.Writer, dir, folder string, at time.Time) error {
	zw, err := gzip.NewWriterLevel(w, gzip.BestCompression)
	if err != nil {
		return err
	}
	tw := tar.NewWriter(zw)
	err = staged(dir, func(rel string, d fs.DirEntry) error {
		h := &tar.Header{Name: path.Join(folder, rel), Mode: modeOf(d), ModTime: at, Uname: "root", Format: tar.FormatPAX, Typeflag: tar.TypeReg}
		if d.IsDir() {
			h.Typeflag, h.Name = tar.TypeDir, h.Name+"/"
			return tw.WriteHeader(h)
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		h.Size = info.Size()
		if err := tw.WriteHeader(h); err != nil {
			return err
		}
		return copyInto(tw, filepath.Join(dir, filepath.FromSlash(rel)))
	})
	return errors.Join(err, tw.Close(), zw.Close())
}

// zipped writes dir as a .zip.
func zipped(w io.Writer, dir string, at time.Time) error {
	zw := zip.NewWriter(w)
	zw.RegisterCompressor(zip.Deflate, func(out io.Writer) (io.WriteCloser, error) { return flate.NewWriter(out, flate.BestCompression) })
	err := staged(dir, func(rel string, d fs.DirEntry) error {
		if d.IsDir() {
			return nil
		}
		h := &zip.FileHeader{Name: rel, Method: zip.Deflate, Modified: at}
		h.SetMode(fs.FileMode(modeOf(d)))
		f, err := zw.CreateHeader(h)
		if err != nil {
			return err
		}
		return copyInto(f, filepath.Join(dir, filepath.FromSlash(rel)))
	})
	return errors.Join(err, zw.Close())
}

func copyInto(w io.Writer, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, f)
	return errors.Join(err, f.Close())
}

package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func TestFlushes(t *testing.T) {
	folder := t.TempDir()
	took, err := flushes(folder, 300)
	if err != nil || len(took) != 300 || slices.Min(took) <= 0 {
		t.Errorf("got %v, error %v", took, err)
	}
	if left, _ := os.ReadDir(folder); len(left) > 0 {
		t.Errorf("left %v", left)
	}
	if _, err := flushes(filepath.Join(folder, "missing"), 1); err == nil {
		t.Error("a folder that is not there can be measured")
	}
}

func TestTheDiskIsWatched(t *testing.T) {
	folder := t.TempDir()
	d, err := watchDisk(t.Context(), folder, 0)
	if err != nil {
		t.Fatal(err)
	}
	changed := func() time.Time {
		files, err := filepath.Glob(filepath.Join(folder, "flush-*"))
		if err != nil || len(files) != 1 {
			t.Fatalf("found %v, error %v", files, err)
		}
		info, err := os.Stat(files[0])
		if err != nil {
			t.Fatal(err)
		}
		return info.ModTime()
	}
	first := changed()
	if err := until(t.Context(), time.Minute, func() (bool, error) { return changed().After(first), nil }); err != nil {
		t.Fatal(err)
	}
	took, err := d.end()
	if err != nil || len(took) == 0 || slices.Min(took) <= 0 {
		t.Errorf("got %v, error %v", took, err)
	}
	if left, _ := os.ReadDir(folder); len(left) > 0 {
		t.Errorf("left %v", left)
	}
	if _, err := watchDisk(t.Context(), filepath.Join(folder, "missing"), 0); err == nil {
		t.Error("a folder that is not there can be watched")
	}
}

package embedded

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// directory is a data directory. In it are
//
//	lock      held while a server runs; contains the pid of its owner
//	password  of the superuser, 0600
//	data      PostgreSQL's own
type directory struct {
	path    string
	account account
}

// openDirectory creates the directory when it is missing.
func openDirectory(path string) (directory, error) {
	mode := fs.FileMode(0o700)
	if os.Geteuid() == 0 {
		mode = 0o755 // of parents; the server passes through them
	}
	if err := os.MkdirAll(path, mode); err != nil {
		return directory{}, fmt.Errorf("create the data directory: %w", err)
	}
	// PostgreSQL knows its data by the real path, and so do we.
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return directory{}, fmt.Errorf("resolve the data directory: %w", err)
	}
	d := directory{path: path}
	d.account = accountFor(d.data())
	if d.account.other() {
		if err := makePassable(path); err != nil {
			return directory{}, fmt.Errorf("let the server pass through the data directory: %w", err)
		}
	}
	return d, nil
}

func makePassable(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	return os.Chmod(path, info.Mode()|0o011)
}

func (d directory) data() string         { return filepath.Join(d.path, "data") }
func (d directory) passwordFile() string { return filepath.Join(d.path, "password") }

// major is the PostgreSQL major version of the data; "" when there are none.
func (d directory) major() (string, error) {
	version, err := os.ReadFile(filepath.Join(d.data(), "PG_VERSION"))
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(d.data()); err == nil {
			return "", fmt.Errorf("%s holds no PostgreSQL data: it has no PG_VERSION", d.data())
		}
		return "", nil
	}
	return strings.TrimSpace(string(version)), err
}

// lock takes the directory for this process. The kernel releases it with the
// process at the latest. It fails with *InUseError while another one has it.
func (d directory) lock() (*os.File, error) {
	file, err := os.OpenFile(filepath.Join(d.path, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the data directory: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer func() { _ = file.Close() }()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, &InUseError{DataDirectory: d.path, PID: readPID(file.Name())}
		}
		return nil, fmt.Errorf("lock the data directory: %w", err)
	}
	pid := strconv.Itoa(os.Getpid()) + "\n"
	if err := os.WriteFile(file.Name(), []byte(pid), 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("lock the data directory: %w", err), file.Close())
	}
	return file, nil
}

// readPID returns the number in a file's first line; 0 when there is none.
func readPID(file string) int {
	content, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(content), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		return 0
	}
	return pid
}

// password returns the superuser's password.
func (d directory) password() (string, error) {
	password, err := os.ReadFile(d.passwordFile())
	if err != nil {
		return "", fmt.Errorf("read the password that belongs to %s: %w", d.data(), err)
	}
	return strings.TrimSpace(string(password)), nil
}

// newPassword writes a new password for data that do not exist yet. The account
// owns the file, since initdb reads it.
func (d directory) newPassword() error {
	if err := os.Remove(d.passwordFile()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := os.OpenFile(d.passwordFile(), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.WriteString(rand.Text() + "\n")
	return errors.Join(err, file.Sync(), file.Close(), d.account.own(file.Name()))
}

// sync makes new names in the directory survive a crash of the machine.
func (d directory) sync() error {
	dir, err := os.Open(d.path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

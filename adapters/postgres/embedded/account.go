package embedded

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// nobody is the user and group of last resort.
const nobody = 65534

// account is the operating system user that the server runs as.
type account struct{ uid, gid int }

// accountFor returns the account to run a server on data as: ourselves, unless we
// are root. Then it is whoever owns the data, since PostgreSQL insists on that,
// and for new data the user postgres or nobody.
func accountFor(data string) account {
	if os.Geteuid() != 0 {
		return account{os.Geteuid(), os.Getegid()}
	}
	if info, err := os.Stat(data); err == nil {
		if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Uid != 0 {
			return account{int(stat.Uid), int(stat.Gid)}
		}
	}
	if a, err := lookUp("postgres"); err == nil {
		return a
	}
	return account{nobody, nobody}
}

func lookUp(name string) (account, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return account{}, err
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return account{}, err
	}
	gid, err := strconv.Atoi(u.Gid)
	return account{uid, gid}, err
}

func (a account) other() bool { return a.uid != os.Geteuid() }

// own hands a file over to the account.
func (a account) own(path string) error {
	if !a.other() {
		return nil
	}
	return os.Chown(path, a.uid, a.gid)
}

// attributes makes a child run as the account, in a process group of its own so
// that a terminal's Ctrl-C does not reach it.
func (a account) attributes() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true}
	if a.other() {
		attr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)} //nolint:gosec // ids have 32 bits
	}
	return attr
}

func (a account) String() string { return fmt.Sprintf("uid %d", a.uid) }

//! A folder whose files hang, as those of a network volume do whose server is gone: the kernel asks
//! a listener (fanotify) whether a file may be opened, and the listener does not answer.

use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// `fanotify_init` and `fanotify_mark` have no program of their own, and perl is on every Debian.
const LISTENER: &str = r#"
    my ($init, $mark) = (`uname -m` =~ /x86_64/) ? (300, 301) : (262, 263);
    my ($content, $add, $open, $children) = (0x4, 0x1, 0x10000, 0x08000000);
    my $listener = syscall($init, $content, 0);
    die "fanotify_init: $!\n" if $listener < 0;
    my $folder = "$ARGV[0]\0";
    die "fanotify_mark: $!\n" if syscall($mark, $listener, $add, $open | $children, -100, $folder) < 0;
    $| = 1;
    print "hanging\n";
    sleep 600;
"#;

/// The holder of a lease, as Samba takes one for each file its clients have open, who does not give
/// it back. No rights are needed for files of one's own.
const HOLDER: &str = r#"
    my ($set_lease, $for_writing) = (1024, 1);
    $SIG{IO} = "IGNORE";
    open(my $file, "+<", $ARGV[0]) or die "open: $!\n";
    fcntl($file, $set_lease, $for_writing) or die "fcntl: $!\n";
    $| = 1;
    print "hanging\n";
    sleep 600;
"#;

/// A folder that hangs until this is dropped. Needs the right to administer the system.
#[derive(Debug)]
pub struct Hang {
    listener: Child,
}

impl Hang {
    pub async fn start(folder: &Path) -> Self {
        Self::run(LISTENER, folder).await
    }

    /// A file that somebody else has a lease on.
    pub async fn leased(file: &Path) -> Self {
        Self::run(HOLDER, file).await
    }

    async fn run(program: &str, path: &Path) -> Self {
        let mut listener = Command::new("perl")
            .args(["-e", program])
            .arg(path)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("perl");
        let output = listener.stdout.take().expect("piped");
        let said = BufReader::new(output).lines().next_line().await;
        assert_eq!(said.expect("read").as_deref(), Some("hanging"));
        Self { listener }
    }

    /// The server is back.
    pub async fn end(mut self) {
        self.listener.kill().await.expect("killed");
    }
}

//! `usher hash-password`: from a password to what may lie in a file.

use std::io::{self, BufRead, IsTerminal};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::Exit;

/// Half a tenth of a second for who knows the password, and for every guess of who does not.
const COST: u32 = 10;
/// bcrypt does not look further; what follows would be no part of the password.
const LONGEST: usize = 72;

/// Prints the bcrypt hash of the password on standard input, or of one that is typed twice.
pub(super) fn hash_password(name: Option<&str>) -> Exit {
    match password(name).and_then(|password| hashed(name, &password)) {
        Ok(line) => {
            println!("{line}");
            Exit::Fine
        }
        Err(why) => {
            eprintln!("error: {why}");
            Exit::BadUsage
        }
    }
}

fn hashed(name: Option<&str>, password: &str) -> Result<String, String> {
    if password.is_empty() {
        return Err("the password is empty".to_owned());
    }
    if password.len() > LONGEST || password.contains('\0') {
        return Err(format!(
            "bcrypt takes passwords of at most {LONGEST} bytes, without NUL"
        ));
    }
    let salt = rand::random();
    let hash = bcrypt::hash_with_salt(password, COST, salt)
        .map_err(|error| format!("the password cannot be hashed: {error}"))?
        .format_for_version(bcrypt::Version::TwoY);
    Ok(name.map_or_else(|| hash.clone(), |name| format!("{name}:{hash}")))
}

/// One line of standard input; from a terminal, what is typed twice without being shown.
fn password(name: Option<&str>) -> Result<String, String> {
    if name.is_some_and(|name| name.is_empty() || name.contains([':', '\n'])) {
        return Err("a user's name is not empty and has no `:`".to_owned());
    }
    let unreadable = |error: io::Error| format!("no password could be read: {error}");
    if !io::stdin().is_terminal() {
        return line().map_err(unreadable);
    }
    let hidden = Hidden::begin().map_err(unreadable)?;
    eprint!("Password: ");
    let first = line().map_err(unreadable)?;
    eprint!("\nAgain: ");
    let second = line().map_err(unreadable)?;
    eprintln!();
    drop(hidden);
    if first == second {
        Ok(first)
    } else {
        Err("the two differ".to_owned())
    }
}

fn line() -> io::Result<String> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    let end = line.trim_end_matches(['\r', '\n']).len();
    line.truncate(end);
    Ok(line)
}

/// While this lives, the terminal shows nothing of what is typed.
#[must_use]
struct Hidden(Termios);

impl Hidden {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &quiet)?;
        Ok(Self(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_of_its_password_alone_and_never_twice_the_same() {
        let line = hashed(Some("ops"), "correct horse").expect("hashed");
        let hash = line.strip_prefix("ops:").expect("the name");
        assert!(hash.starts_with("$2y$10$") && hash.len() == 60, "{hash}");
        assert_eq!(bcrypt::verify("correct horse", hash).ok(), Some(true));
        assert_eq!(bcrypt::verify("correct hors", hash).ok(), Some(false));
        assert_ne!(hashed(None, "correct horse").expect("hashed"), hash);
    }

    #[test]
    fn what_bcrypt_would_cut_off_is_refused() {
        assert!(hashed(None, &"x".repeat(73)).is_err());
        assert!(hashed(None, "a\0b").is_err());
        assert!(hashed(None, "").is_err());
    }
}

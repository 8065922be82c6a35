use std::fs;

use super::*;

/// `htpasswd -s`: `password` and `other`.
const OLD: &str = "admin:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n";
const NEW: &str = "admin:{SHA}0JQeaNqPOBUf+Gph/Fn3xc+fyqI=\n";

fn basic(credentials: &str) -> Vec<u8> {
    format!("Basic {}", STANDARD.encode(credentials)).into_bytes()
}

#[tokio::test]
async fn a_password_counts_until_its_file_changes() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("htpasswd");
    fs::write(&path, OLD).expect("written");
    let passwords = Passwords::default();
    let now = Instant::now();
    let ask = async |credentials: &str, at| {
        let credentials = basic(credentials);
        passwords.judge(&path, Some(&credentials), at).await
    };
    for _ in 0..2 {
        assert_eq!(
            ask("admin:password", now).await.ok(),
            Some(Verdict::Admitted)
        );
    }
    for wrong in [
        "admin:",
        "admin:Password",
        "Admin:password",
        "admin",
        ":",
        "nobody:password",
    ] {
        assert_eq!(
            ask(wrong, now).await.ok(),
            Some(Verdict::Refused),
            "{wrong}"
        );
    }
    for none in [
        None,
        Some("Bearer x"),
        Some("Basic"),
        Some("Basic !"),
        Some(""),
    ] {
        let verdict = passwords.judge(&path, none.map(str::as_bytes), now).await;
        assert_eq!(verdict.ok(), Some(Verdict::Refused), "{none:?}");
    }

    fs::write(&path, NEW).expect("written");
    let later = now + FRESH;
    assert_eq!(
        ask("admin:password", later).await.ok(),
        Some(Verdict::Refused)
    );
    assert_eq!(
        ask("admin:other", later).await.ok(),
        Some(Verdict::Admitted)
    );
    fs::write(&path, "admin\n").expect("written");
    let broken = ask("admin:other", later + FRESH).await;
    assert!(matches!(broken, Err(PasswordError::File(_))), "{broken:?}");
    fs::remove_file(&path).expect("removed");
    let missing = ask("admin:other", later + 2 * FRESH).await;
    assert!(
        matches!(missing, Err(PasswordError::File(_))),
        "{missing:?}"
    );
}

#[tokio::test]
async fn the_memory_of_right_passwords_is_bounded_and_made_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("htpasswd");
    let hash = bcrypt::hash_with_salt("password", 10, [7; 16]).expect("hashed");
    fs::write(&path, format!("admin:{hash}\n")).expect("written");
    let passwords = Passwords::default();
    let now = Instant::now();
    let credentials = basic("admin:password");
    let six = (0..6).map(|_| passwords.judge(&path, Some(&credentials), now));
    for verdict in futures_util::future::join_all(six).await {
        assert_eq!(verdict.ok(), Some(Verdict::Admitted));
    }
    assert_eq!(passwords.right.lock().expect("lock").len(), 1);
    assert_eq!(passwords.right.lock().expect("lock").cap(), MOST_RIGHT);
}

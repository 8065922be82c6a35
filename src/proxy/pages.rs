//! The pages usher answers with in a site's place: small, self-contained, in the site's name, and in
//! the language the visitor's browser asks for.

use bytes::Bytes;
use http::header::{ACCEPT_LANGUAGE, HeaderMap};

use super::failure::Failure;
use crate::routing::InstanceTable;

/// Who will read a page.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reader<'a> {
    /// The site they came for, where that is known.
    site: Option<&'a str>,
    pub(super) language: Language,
    /// What they see in the place of usher's own page where it or a replica fails.
    pub(super) own_page: Option<&'a Bytes>,
}

/// A language that pages are written in.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Language {
    #[default]
    English,
    German,
}

impl<'a> Reader<'a> {
    pub(super) fn new(site: Option<&'a str>, fields: &HeaderMap) -> Self {
        Self {
            site,
            language: Language::asked_for(fields),
            own_page: None,
        }
    }

    /// Who came to an instance.
    pub(super) fn of(instance: &'a InstanceTable, fields: &HeaderMap) -> Self {
        Self::new(Some(instance.name().as_str()), fields)
            .with(instance.plan().site.error_page.as_ref())
    }

    pub(super) fn with(self, own_page: Option<&'a Bytes>) -> Self {
        Self { own_page, ..self }
    }
}

impl Language {
    /// The tag of the language (RFC 5646).
    pub(super) fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::German => "de",
        }
    }

    /// The one of ours that is liked best (RFC 9110 §12.5.4); English where none is.
    fn asked_for(fields: &HeaderMap) -> Self {
        let ranges = fields
            .get_all(ACCEPT_LANGUAGE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','));
        let mut best = (Self::English, 0.0);
        for range in ranges {
            let (tag, weight) = match range.split_once(";q=") {
                Some((tag, weight)) => (tag, weight.trim().parse().unwrap_or(0.0)),
                None => (range, 1.0_f32),
            };
            let primary = tag.trim().split('-').next().unwrap_or_default();
            let language = match primary.to_ascii_lowercase().as_str() {
                "de" => Self::German,
                "en" | "*" => Self::English,
                _ => continue,
            };
            // Of two that are liked alike, the first.
            if weight > best.1 {
                best = (language, weight);
            }
        }
        best.0
    }
}

/// The whole page of a failure.
pub(super) fn page(failure: Failure, reader: Reader<'_>) -> String {
    let Words { headline, sentence } = words(failure, reader.language);
    let site = reader.site.map(escape).unwrap_or_default();
    let lang = reader.language.tag();
    // Reloads by itself what may be there the next time, not all at the same moment.
    let reload = if failure.passes() {
        let seconds = rand::random_range(4..9);
        format!("<meta http-equiv=\"refresh\" content=\"{seconds}\">")
    } else {
        String::new()
    };
    format!(
        "<!doctype html><html lang=\"{lang}\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">{reload}<title>{headline}</title>\
         <style>body{{font:1.1rem/1.5 system-ui,sans-serif;max-width:32rem;margin:18vh auto;padding:0 1rem;\
         color:#222;background:#fafafa}}h1{{font-size:1.6rem}}p.site{{color:#666}}\
         @media(prefers-color-scheme:dark){{body{{color:#ddd;background:#181818}}p.site{{color:#999}}}}</style>\
         </head><body><p class=\"site\">{site}</p><h1>{headline}</h1><p>{sentence}</p></body></html>\n"
    )
}

#[derive(Clone, Copy)]
struct Words {
    headline: &'static str,
    sentence: &'static str,
}

fn words(failure: Failure, language: Language) -> Words {
    let (english, german) = both(failure);
    let (headline, sentence) = match language {
        Language::English => english,
        Language::German => german,
    };
    Words { headline, sentence }
}

type Text = (&'static str, &'static str);

/// What a visitor is told, in English and in German.
fn both(failure: Failure) -> (Text, Text) {
    match failure {
        Failure::Crowded(held) => both(held.in_vain()),
        Failure::Starting => (
            (
                "Just a moment",
                "This site is starting. The page reloads by itself.",
            ),
            (
                "Einen Moment bitte",
                "Diese Seite startet gerade. Sie lädt von selbst neu.",
            ),
        ),
        Failure::StartFailed => (
            (
                "Could not be started",
                "This site was asked to start and did not. It is tried again, less and less often. The page reloads by itself.",
            ),
            (
                "Start fehlgeschlagen",
                "Diese Seite sollte starten und hat es nicht getan. Es wird in wachsenden Abständen wieder versucht. Die Seite lädt von selbst neu.",
            ),
        ),
        Failure::Asleep => (
            (
                "At rest",
                "Nobody has been here for a while. This site starts when somebody opens it in a browser.",
            ),
            (
                "In Ruhe",
                "Hier war eine Weile niemand. Diese Seite startet, wenn jemand sie im Browser öffnet.",
            ),
        ),
        Failure::Paused => (
            (
                "Under maintenance",
                "This site is being maintained and will be back soon. The page reloads by itself.",
            ),
            (
                "Wartungsarbeiten",
                "Diese Seite wird gerade gewartet und ist bald wieder da. Sie lädt von selbst neu.",
            ),
        ),
        Failure::NoReplica
        | Failure::PasswordsMissing
        | Failure::UnknownName
        | Failure::StaticHangs
        | Failure::StaticMissing => (
            (
                "Not available right now",
                "This site is starting or being maintained. Please try again in a moment.",
            ),
            (
                "Zurzeit nicht erreichbar",
                "Diese Seite startet oder wird gewartet. Bitte versuchen Sie es gleich noch einmal.",
            ),
        ),
        Failure::OverLimit | Failure::Overload => (
            (
                "Very busy",
                "More people are here than this site can serve at once. Please try again in a moment.",
            ),
            (
                "Großer Andrang",
                "Es sind mehr Menschen hier, als diese Seite auf einmal bedienen kann. Bitte versuchen Sie es gleich noch einmal.",
            ),
        ),
        Failure::Standby => (
            ("Not open", "This site is not open at the moment."),
            ("Nicht geöffnet", "Diese Seite ist zurzeit nicht geöffnet."),
        ),
        Failure::Unrented => (
            ("Not rented", "This site is not rented at the moment."),
            (
                "Nicht vermietet",
                "Diese Seite ist zurzeit nicht vermietet.",
            ),
        ),
        Failure::Stranded
        | Failure::UpstreamFailed
        | Failure::UpstreamTimedOut
        | Failure::Internal
        | Failure::Loop => (
            (
                "Something went wrong",
                "The application did not answer. Please try again in a moment.",
            ),
            (
                "Etwas ist schiefgegangen",
                "Die Anwendung hat nicht geantwortet. Bitte versuchen Sie es gleich noch einmal.",
            ),
        ),
        Failure::NoRoute | Failure::NotFound => (
            ("Not found", "There is nothing at this address."),
            ("Nicht gefunden", "Unter dieser Adresse gibt es nichts."),
        ),
        Failure::Unauthorized => (
            (
                "Name and password, please",
                "This page is for those who have a name and a password for it.",
            ),
            (
                "Name und Passwort, bitte",
                "Diese Seite ist für alle, die einen Namen und ein Passwort dafür haben.",
            ),
        ),
        Failure::Denied | Failure::OriginRefused => (
            ("Not allowed", "You may not see this from where you are."),
            ("Nicht erlaubt", "Von hier aus dürfen Sie das nicht sehen."),
        ),
        Failure::BodyTooLarge => (
            (
                "Too large",
                "What you sent is larger than this site accepts.",
            ),
            (
                "Zu groß",
                "Was Sie gesendet haben, ist größer, als diese Seite annimmt.",
            ),
        ),
        Failure::BodyTooSlow => (
            (
                "Too slow",
                "What you sent did not arrive in time. Please try again.",
            ),
            (
                "Zu langsam",
                "Was Sie gesendet haben, ist nicht rechtzeitig angekommen. Bitte versuchen Sie es noch einmal.",
            ),
        ),
        Failure::HostDiffersFromSni => (
            (
                "Wrong address",
                "This connection was made for another site. Please reload the page.",
            ),
            (
                "Falsche Adresse",
                "Diese Verbindung war für eine andere Seite. Bitte laden Sie die Seite neu.",
            ),
        ),
        Failure::CertificateMissing => (
            (
                "Certificate, please",
                "No required SSL certificate was sent. This site is for those who have one.",
            ),
            (
                "Zertifikat, bitte",
                "Diese Seite ist für alle, deren Browser ein Zertifikat dafür hat und zeigt.",
            ),
        ),
        Failure::CertificateRefused => (
            (
                "Another certificate, please",
                "The SSL certificate error: what your browser has shown is not accepted here.",
            ),
            (
                "Ein anderes Zertifikat, bitte",
                "Das Zertifikat, das Ihr Browser gezeigt hat, gilt hier nicht.",
            ),
        ),
        Failure::OnlyHttps => (
            ("Use https", "This site is served over https only."),
            (
                "Bitte https verwenden",
                "Diese Seite gibt es nur über https.",
            ),
        ),
        Failure::Ambiguous
        | Failure::BadHost
        | Failure::BadPath
        | Failure::Expectation
        | Failure::FieldsTooMany
        | Failure::HandshakeInvalid
        | Failure::HandshakeVersion
        | Failure::MethodNotAllowed
        | Failure::Tunnel
        | Failure::TargetTooLong => (
            ("Not understood", "This request cannot be answered."),
            (
                "Nicht verstanden",
                "Diese Anfrage kann nicht beantwortet werden.",
            ),
        ),
    }
}

/// Names come from the configuration and cannot hold markup today; a page must not depend on that.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn language(accepted: &str) -> Language {
        let mut fields = HeaderMap::new();
        fields.insert(ACCEPT_LANGUAGE, accepted.parse().expect("value"));
        Language::asked_for(&fields)
    }

    #[test]
    fn a_visitor_reads_the_language_they_like_best_of_those_there_are() {
        assert_eq!(language("de-DE,de;q=0.9,en;q=0.8"), Language::German);
        assert_eq!(language("en-US,en;q=0.9,de;q=0.8"), Language::English);
        assert_eq!(language("fr, de;q=0.4, en;q=0.3"), Language::German);
        assert_eq!(language("fr"), Language::English);
        assert_eq!(language("de;q=0"), Language::English);
        assert_eq!(language("de;q=nonsense, ,;;"), Language::English);
        assert_eq!(Language::asked_for(&HeaderMap::new()), Language::English);
    }

    #[test]
    fn a_page_carries_the_name_of_the_site_and_no_markup_of_it() {
        let reader = Reader {
            site: Some("<b>congress</b>"),
            language: Language::German,
            own_page: None,
        };
        let text = page(Failure::Starting, reader);
        assert!(text.contains("&lt;b&gt;congress"), "{text}");
        assert!(
            text.contains("lang=\"de\"") && text.contains("startet"),
            "{text}"
        );
    }

    #[test]
    fn only_what_may_pass_is_reloaded_by_itself() {
        let reloads = |failure| page(failure, Reader::default()).contains("http-equiv");
        assert!(reloads(Failure::Starting) && reloads(Failure::Paused));
        assert!(reloads(Failure::StartFailed));
        assert!(!reloads(Failure::NotFound) && !reloads(Failure::Standby));
        assert!(!reloads(Failure::Unrented) && !reloads(Failure::Asleep));
    }
}

//! Sparklines and charts as inline pictures.

use std::fmt::Write;

use maud::{Markup, html};

/// Of a picture, in its own units.
const WIDTH: f32 = 600.0;
const HEIGHT: f32 = 120.0;

/// A line of a chart.
pub(super) struct Line {
    pub(super) name: &'static str,
    /// Of the style: `first`, `second`.
    pub(super) class: &'static str,
    pub(super) shape: Shape,
    /// From the oldest to the newest; gaps are `None`.
    pub(super) points: Vec<Option<f32>>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Shape {
    Area,
    /// Values that hold until the next: numbers of replicas.
    Steps,
}

/// The last hour in the space of a word. Nothing where nothing was observed.
pub(super) fn sparkline(points: &[Option<f32>], words: &str) -> Markup {
    let most = highest(points.iter());
    let (line, area) = paths(points, most.max(1.0), 100.0, 22.0, Shape::Area);
    html! {
        svg.spark viewBox="0 0 100 24" preserveAspectRatio="none" role="img" aria-label=(words) {
            @if !line.is_empty() {
                path.area d=(area) { }
                path.line d=(line) { }
            }
        }
    }
}

/// A day. `unit` completes "at most 12 …".
pub(super) fn chart(title: &str, unit: &str, now: &str, lines: &[Line]) -> Markup {
    let peak = highest(lines.iter().flat_map(|line| line.points.iter()));
    let top = nice(peak);
    let label = format!(
        "{title} over the last 24 hours: {now} now, at most {} {unit}",
        short(peak)
    );
    let ticks = [top, top / 2.0, 0.0];
    html! {
        figure.chart {
            figcaption {
                strong { (title) }
                span.muted { " now " b { (now) } ", at most " b { (short(peak)) } " " (unit) }
                @if lines.len() > 1 {
                    span.legend {
                        @for line in lines { span class={ "key " (line.class) } { (line.name) } }
                    }
                }
            }
            div.plot {
                ol.ticks aria-hidden="true" { @for tick in ticks { li { (short(tick)) } } }
                svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" role="img" aria-label=(label) {
                    @for part in 0_u8..=4 {
                        @let x = WIDTH / 4.0 * f32::from(part);
                        line.grid x1=(x) x2=(x) y1="0" y2=(HEIGHT) { }
                    }
                    @for part in 0_u8..=2 {
                        @let y = HEIGHT / 2.0 * f32::from(part);
                        line.grid x1="0" x2=(WIDTH) y1=(y) y2=(y) { }
                    }
                    @for line in lines {
                        @let (path, area) = paths(&line.points, top, WIDTH, HEIGHT, line.shape);
                        @if line.shape == Shape::Area { path class={ "area " (line.class) } d=(area) { } }
                        path class={ "line " (line.class) } d=(path) { }
                    }
                }
                ol.hours aria-hidden="true" {
                    @for hours in ["24 h ago", "18 h", "12 h", "6 h", "now"] { li { (hours) } }
                }
            }
        }
    }
}

fn highest<'p>(points: impl Iterator<Item = &'p Option<f32>>) -> f32 {
    points.flatten().copied().fold(0.0, f32::max)
}

/// The next of 2, 4, 10, 20, 40, 100 … at or above, so that axes read well.
fn nice(value: f32) -> f32 {
    let mut step = 1.0;
    loop {
        // Even ones: half of it is a tick as well, and there are no half replicas.
        for factor in [2.0, 4.0, 10.0] {
            if step * factor >= value {
                return step * factor;
            }
        }
        step *= 10.0;
    }
}

fn short(value: f32) -> String {
    if value >= 10.0 || value.fract().abs() < 0.05 {
        format!("{value:.0}")
    } else {
        format!("{value:.1}")
    }
}

/// The path of a line and that of the area under it; empty where nothing was observed.
fn paths(
    points: &[Option<f32>],
    top: f32,
    width: f32,
    height: f32,
    shape: Shape,
) -> (String, String) {
    let (mut line, mut area) = (String::new(), String::new());
    let distance = width / f32::from(u16::try_from(points.len().max(2) - 1).unwrap_or(u16::MAX));
    let mut run: Vec<(f32, f32)> = Vec::new();
    let mut x = 0.0_f32;
    for point in points.iter().chain([&None]) {
        match point {
            Some(value) => run.push((x, height - value / top * (height - 1.0))),
            None => {
                draw(&run, height, distance, shape, &mut line, &mut area);
                run.clear();
            }
        }
        x += distance;
    }
    (line, area)
}

/// One run without gaps. Writing to a String cannot fail.
fn draw(
    run: &[(f32, f32)],
    height: f32,
    distance: f32,
    shape: Shape,
    line: &mut String,
    area: &mut String,
) {
    let (Some((first, top)), Some((last, _))) = (run.first(), run.last()) else {
        return;
    };
    let _ = write!(line, "M{first:.1} {top:.1}");
    let _ = write!(area, "M{first:.1} {height:.1}L{first:.1} {top:.1}");
    for (x, y) in run.iter().skip(1) {
        let step = match shape {
            Shape::Area => format!("L{x:.1} {y:.1}"),
            Shape::Steps => format!("H{x:.1}V{y:.1}"),
        };
        line.push_str(&step);
        area.push_str(&step);
    }
    if run.len() == 1 {
        // One point alone would not be seen.
        let _ = write!(line, "h{:.1}", distance.min(1.0));
    }
    let _ = write!(area, "L{last:.1} {height:.1}Z");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_ends_a_line_and_begins_another() {
        let points = [Some(0.0), Some(10.0), None, Some(5.0), Some(5.0)];
        let (line, area) = paths(&points, 10.0, 4.0, 11.0, Shape::Area);
        assert_eq!(line, "M0.0 11.0L1.0 1.0M3.0 6.0L4.0 6.0");
        assert_eq!(
            area,
            "M0.0 11.0L0.0 11.0L1.0 1.0L1.0 11.0ZM3.0 11.0L3.0 6.0L4.0 6.0L4.0 11.0Z"
        );
        let (steps, _) = paths(&points, 10.0, 4.0, 11.0, Shape::Steps);
        assert_eq!(steps, "M0.0 11.0H1.0V1.0M3.0 6.0H4.0V6.0");
        assert_eq!(paths(&[None, None], 1.0, 4.0, 11.0, Shape::Area).0, "");
    }

    #[test]
    fn axes_end_at_round_numbers() {
        assert_eq!(
            [0.0, 1.0, 3.0, 7.0, 11.0, 640.0].map(nice),
            [2.0, 2.0, 4.0, 10.0, 20.0, 1000.0]
        );
        assert_eq!([0.0, 2.5, 12.4].map(short), ["0", "2.5", "12"]);
    }
}

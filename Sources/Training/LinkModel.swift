import Kernels

/// What a message costs on a kind of link: alpha + beta·bytes seconds.
///
/// alpha is LogGP's L + 2o, the part that every message pays; beta is its G, the seconds of one byte
/// (Alexandrov et al., LogGP, 1995). Short, middle and long messages have a line each: MPI copies the short
/// ones through buffers, and asks before it sends the others; the long ones are more than caches and the
/// buffers of a network hold.
package struct LinkModel: Equatable, Sendable {
    /// One straight line through the times of messages.
    package struct Line: Equatable, Sendable {
        /// alpha
        package let latencySeconds: Double
        /// beta
        package let secondsPerByte: Double

        package init(latencySeconds: Double, secondsPerByte: Double) {
            self.latencySeconds = latencySeconds
            self.secondsPerByte = secondsPerByte
        }

        func seconds(bytes: Double, sharers: Double = 1) -> Double {
            latencySeconds + bytes * secondsPerByte * sharers
        }
    }

    /// One time that was measured.
    package struct Sample: Equatable, Sendable {
        package let bytes: Int
        package let seconds: Double

        package init(bytes: Int, seconds: Double) {
            self.bytes = bytes
            self.seconds = seconds
        }
    }

    /// One line for all messages, or one for each part of `edges`, ascending.
    package let lines: [Line]
    /// LogGP's g: what each further one of several messages that start at once takes beside its bytes.
    package let gapSeconds: Double

    /// Where middle messages begin, Open MPI's limit over TCP, and long ones. In bytes.
    package static let edges = [1 << 16, 1 << 20]

    /// A link whose messages all lie on one line.
    package init(latencySeconds: Double, secondsPerByte: Double, gapSeconds: Double) {
        self.gapSeconds = gapSeconds
        lines = [Line(latencySeconds: latencySeconds, secondsPerByte: secondsPerByte)]
    }

    /// The lines nearest to what was measured.
    ///
    /// - Parameter samples: of two sizes or more below the first edge, between two, and beyond the last, the
    ///   edges' own included.
    package init(fitting samples: [Sample], gapSeconds: Double) {
        self.gapSeconds = gapSeconds
        lines = zip([0] + Self.edges, Self.edges + [.max]).map { first, last in
            Line(fitting: samples.filter { (first...last).contains($0.bytes) })
        }
    }

    /// The seconds of a message; none for no bytes, which are no message.
    ///
    /// - Parameters:
    ///   - bytes: of one message; a part of a byte where sizes are averages.
    ///   - sharers: the messages that go over the link at the same time and divide its bandwidth.
    package func seconds(bytes: Double, sharers: Double = 1) -> Double {
        guard bytes > 0 else { return 0 }
        guard lines.count > 1 else { return lines[0].seconds(bytes: bytes, sharers: sharers) }
        // A longer message is never the faster one, wherever two lines meet.
        var slowest = 0.0
        for (line, edge) in zip(lines, Self.edges.map(Double.init) + [.infinity]) {
            slowest = max(slowest, line.seconds(bytes: min(bytes, edge), sharers: sharers))
            if bytes < edge { break }
        }
        return slowest
    }

    /// The part of a message's seconds in which it does not occupy the link.
    package func latencySeconds(bytes: Double) -> Double {
        let index = Self.edges.firstIndex { bytes < Double($0) } ?? Self.edges.count
        return lines[min(index, lines.count - 1)].latencySeconds
    }
}

extension LinkModel.Line {
    /// The line with the least squares of log(fitted/measured): a microsecond counts for much in a short
    /// message and for little in a long one, and twice as long is as wrong as half as long. Neither alpha nor
    /// beta is below zero.
    package init(fitting samples: [LinkModel.Sample]) {
        precondition(Set(samples.map(\.bytes)).count >= 2, "a line needs two sizes")
        precondition(samples.allSatisfy { $0.seconds > 0 }, "a message takes time")
        var line = Self(samples, weights: samples.map { 1 / ($0.seconds * $0.seconds) })
        for _ in 0..<Self.rounds {
            // Where the sum of the squares is least, that of log(fitted/measured)/fitted times the derivative of
            // what is fitted is zero. So is that of weight·(fitted - measured), with these weights.
            let weights = samples.map { sample in
                let fitted = max(
                    line.seconds(bytes: Double(sample.bytes)), sample.seconds / 1e3)
                let ratio = fitted / sample.seconds
                let slope =
                    abs(ratio - 1) < 1e-6 ? 1 : ElementaryFunctions.log(ratio) / (ratio - 1)
                return slope / (fitted * sample.seconds)
            }
            line = Self(samples, weights: weights)
        }
        self = line
    }

    private static let rounds = 20

    /// The line of least weighted squares.
    private init(_ samples: [LinkModel.Sample], weights: [Double]) {
        var (w, wx, wxx, wt, wxt) = (0.0, 0.0, 0.0, 0.0, 0.0)
        for (sample, weight) in zip(samples, weights) {
            let bytes = Double(sample.bytes)
            (w, wx, wxx) = (w + weight, wx + weight * bytes, wxx + weight * bytes * bytes)
            (wt, wxt) = (wt + weight * sample.seconds, wxt + weight * bytes * sample.seconds)
        }
        let determinant = w * wxx - wx * wx
        let latency = (wt * wxx - wxt * wx) / determinant
        let perByte = (wxt * w - wt * wx) / determinant
        if latency < 0 {
            self.init(latencySeconds: 0, secondsPerByte: wxt / wxx)
        } else if perByte < 0 {
            self.init(latencySeconds: wt / w, secondsPerByte: 0)
        } else {
            self.init(latencySeconds: latency, secondsPerByte: perByte)
        }
    }
}

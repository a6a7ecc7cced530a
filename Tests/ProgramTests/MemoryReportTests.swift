import Foundation
import Testing

/// `--memory-report`: what was planned is there, part by part.
@Suite struct MemoryReportTests {
    @Test(arguments: [0, 2]) func everyPartIsAsPlanned(_ ranks: Int) throws {
        let place = try Workplace()
        let result = try Program.run(
            place.train("--memory-report") + MemoryTests.larger + ["--threads", "2"], ranks: ranks)
        #expect(result.exitCode == 0, "\(result.errors)")
        let output = result.output
        #expect(output.contains("memory after step 1\n"))
        #expect(output.contains("memory after step 4\n"))
        // Name, planned, rank 0's, the most and of which rank, the least and of which.
        let pattern =
            /\n([a-z ]+?) +([\d.]+) MiB +([\d.]+) MiB +([\d.]+) MiB, (\d) +([\d.]+) MiB, (\d)/
        let rows = output.matches(of: pattern)
        #expect(rows.count == 2 * 8)
        for row in rows {
            let (planned, found) = (try #require(Double(row.2)), try #require(Double(row.3)))
            #expect(abs(found - planned) <= 0.2 + 0.01 * planned, "\(row.0)")
        }
        // Rank 0 has room for all moments, the other for its own.
        let moments = try #require(rows.first { $0.1 == "moments" })
        #expect(ranks == 0 || moments.5 == "0" && moments.7 == "1")
        #expect(ranks == 0 || Double(moments.6)! < 0.6 * Double(moments.4)!)
        #expect(output.contains(/\nresident +[\d.]+ MiB/))
        #expect(output.contains("limits: address space "))
    }
}

import Host
import Testing

/// The room that a file system tells of.
@Suite struct FreeRoomTests {
    @Test func aFileSystemWithoutAnEndHasTheMostBytes() {
        #expect(PublishedFile.bytes(blocks: 1 << 20, of: 4096) == 1 << 32)
        #expect(PublishedFile.bytes(blocks: .max / 4096, of: 4096) == .max)
        #expect(PublishedFile.bytes(blocks: 1 << 56, of: 1 << 24) == .max)
        #expect(PublishedFile.bytes(blocks: 0, of: 4096) == 0)
    }
}

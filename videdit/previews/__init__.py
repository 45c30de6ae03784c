"""What stages left, drawn for `videdit inspect`: it reads and draws, and changes nothing."""

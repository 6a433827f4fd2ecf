"""What every stage needs: errors, atomic files, ADE20K's classes, contact sheets, pieces of work, progress, device."""

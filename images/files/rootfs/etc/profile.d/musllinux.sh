# shellcheck shell=sh
# A login shell's /etc/profile resets PATH: put back what the image's environment says.
case ":$PATH:" in
*:/usr/local/bin:*) ;;
*) export PATH="/usr/local/bin:$PATH" ;;
esac
